//! Cases of `MetaStore`.

mod accounts;
mod batches;
mod previews;
mod projects;

use accounts::*;
use batches::*;
use previews::*;
use projects::*;

use crate::subject::for_every_adapter;

for_every_adapter! {
    commit_is_atomic
    expectations_are_checked
    revisions_count_the_puts
    a_batch_names_nothing_twice
    jobs_enter_with_their_records
    a_job_id_is_used_once
    an_oversized_payload_is_refused
    cancelling_needs_a_job_that_has_not_ended
    a_late_claim_writes_nothing
    sequences_never_repeat
    a_ping_is_answered

    emails_and_usernames_are_unique
    a_freed_name_can_be_taken
    logins_are_email_or_username
    user_search_is_by_prefix_and_ordered
    users_are_paged_by_id
    admins_are_noticed
    sessions_come_and_go
    api_tokens_come_and_go
    an_api_token_has_its_own_digest
    a_link_is_used_once
    deleting_a_user_takes_what_is_theirs
    what_names_no_account_goes_with_its_deletion

    projects_are_listed_newest_first
    a_project_changes_hands
    a_member_needs_a_project
    members_are_paged_by_user
    deleting_a_project_takes_its_members

    previews_are_filtered
    preview_pages_are_stable
    a_status_moves_between_listings
    previews_are_found_by_token_and_build_key
    one_build_key_is_under_way_once
    what_nobody_asked_for_is_listed_on_demand
    a_branch_is_built_at_one_commit
    active_previews_are_those_not_final
    deleted_previews_leave_no_trace
    foreign_cursors_are_refused
    page_sizes_are_bounded
}
