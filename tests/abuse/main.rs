//! What must be refused: each case with a clear error, nothing written and
//! nobody let in.
//!
//! The cases, the tests that hold them, and the code (or, where there is no
//! answer to carry one, what happens instead). [`cases`] fails when a test that
//! is named here is not there. Webhooks come with their own issue.
//!
//! | case | in | tests | ends as |
//! |---|---|---|---|
//! | zip and tar: `../`, absolute, backslash, NUL | abuse/archives.rs | paths_that_climb_out_are_refused | INVALID_INPUT |
//! | | abuse/archives.rs | absolute_paths_are_refused | INVALID_INPUT |
//! | | abuse/archives.rs | backslashes_and_control_characters_are_refused | INVALID_INPUT |
//! | | abuse/archives.rs | extension_headers_obey_the_same_rules | INVALID_INPUT |
//! | symlink-then-write, links that lead out | abuse/archives.rs | writing_through_a_symlink_is_refused | INVALID_INPUT |
//! | | abuse/archives.rs | symlinks_that_lead_outside_are_refused | INVALID_INPUT |
//! | | abuse/archives.rs | a_link_out_of_the_wrapping_folder_is_refused | INVALID_INPUT |
//! | hard links, devices, pipes | abuse/archives.rs | hard_links_and_devices_are_refused | INVALID_INPUT |
//! | `.git` in disguise, the same file twice | abuse/archives.rs | disguised_git_folders_are_refused | INVALID_INPUT |
//! | | abuse/archives.rs | the_same_file_twice_is_refused | INVALID_INPUT |
//! | zip bomb, tar bomb, path bomb | abuse/archives.rs | bombs_are_refused | PAYLOAD_TOO_LARGE |
//! | | abuse/archives.rs | limits_are_the_operators | PAYLOAD_TOO_LARGE |
//! | path bomb, lying sizes, damage, passwords | abuse/archives.rs | a_path_record_of_any_size_is_not_held_in_memory | INVALID_INPUT |
//! | | abuse/archives.rs | a_zip_that_lies_about_a_size_is_refused | INVALID_INPUT |
//! | | abuse/archives.rs | damaged_archives_are_refused_and_the_branch_stays | INVALID_INPUT |
//! | | abuse/archives.rs | encrypted_zips_are_refused_plainly | INVALID_INPUT |
//! | a million entries | abuse/archives.rs | a_million_entries_are_refused_before_they_are_read | PAYLOAD_TOO_LARGE |
//! | | abuse/archives.rs | too_many_files_are_refused | PAYLOAD_TOO_LARGE |
//! | no archive at all | abuse/archives.rs | what_is_no_archive_is_an_unsupported_media_type | UNSUPPORTED_MEDIA_TYPE |
//! | a symlink in a checkout that points outside | abuse/git/contents.rs | links_that_lead_outside_are_not_checked_out | left out |
//! | ... in what is built: not bundled, not served | build/sandbox.rs | links_out_of_the_output_are_not_bundled | left out |
//! | names with `\`, line ends, escapes in what is built | build/sandbox.rs | names_that_mean_something_elsewhere_are_not_bundled | left out |
//! | holes and hard links in what is built | build/sandbox.rs | what_is_too_large_is_not_read_to_the_end | PREVIEW_BUILD_FAILED |
//! | holes in what a cache takes back | build/sandbox.rs | file_maps_of_holes_are_kept_within_bounds | cut |
//! | a manifest that becomes gigabytes of values | build/failures.rs | a_manifest_that_is_far_too_large_is_refused | INVALID_PROJECT_STRUCTURE |
//! | ... in the place of the output folder | build/escapes.rs | a_link_in_the_place_of_the_output_folder_bundles_nothing | PREVIEW_BUILD_FAILED |
//! | | build/escapes.rs | a_pipe_in_the_place_of_a_file_holds_nobody_up | PREVIEW_BUILD_FAILED |
//! | `ext::`, `file://`, `--upload-pack=`, `-oProxyCommand`, credentials, CR | abuse/git/urls.rs | urls_that_run_commands_or_read_files_are_refused | INVALID_INPUT |
//! | the same over HTTP | api/project_sources/linked.rs | refused_urls_never_become_a_source | INVALID_INPUT |
//! | submodules, hooks, filters | abuse/git/contents.rs | submodules_are_neither_fetched_nor_checked_out | not run |
//! | | abuse/git/contents.rs | hooks_and_filters_do_not_run | not run |
//! | attributes by which a checkout grows | abuse/git/contents.rs | attributes_do_not_change_what_is_checked_out | not run |
//! | `.git` in a tree, a tree that multiplies | abuse/git/contents.rs | a_tree_with_a_git_folder_in_it_is_not_fetched | SOURCE_UNAVAILABLE |
//! | a tree that multiplies, a server that hangs, a repository too large | abuse/git/limits.rs | a_tree_that_multiplies_is_not_checked_out | SOURCE_UNAVAILABLE |
//! | | abuse/git/limits.rs | a_server_that_hangs_is_given_up | SOURCE_UNAVAILABLE |
//! | ... while others wait | api/project_sources/linked.rs | a_server_that_hangs_keeps_no_other_waiting | 200 |
//! | | abuse/git/limits.rs | a_repository_that_is_too_large_is_given_up | SOURCE_UNAVAILABLE |
//! | a commit that does not fit the memory, endless branches, a crowd of readers | abuse/git/limits.rs | a_commit_of_any_size_is_not_held_in_memory | PAYLOAD_TOO_LARGE |
//! | | abuse/git/limits.rs | more_branches_than_anybody_has_are_given_up | SOURCE_UNAVAILABLE |
//! | | abuse/git/limits.rs | a_crowd_that_looks_into_one_repository_is_told_to_come_back | RATE_LIMIT_EXCEEDED |
//! | SSRF: loopback spellings, mapped and NAT64 addresses, metadata | abuse/git/urls.rs | forbidden_addresses_are_refused_before_anything_is_asked | INVALID_INPUT |
//! | SSRF: names, redirects | abuse/git/addresses.rs | names_that_lead_inside_are_refused_without_a_request | INVALID_INPUT |
//! | | abuse/git/addresses.rs | redirects_to_forbidden_places_are_not_followed | INVALID_INPUT |
//! | SSRF: rebinding, a redirect after the check | abuse/git/addresses.rs | git_goes_to_the_judged_address_whatever_the_name_says_later | SOURCE_UNAVAILABLE |
//! | | abuse/git/addresses.rs | a_redirect_after_the_check_is_not_followed | SOURCE_UNAVAILABLE |
//! | | abuse/git/addresses.rs | endless_and_foreign_redirects_end | SOURCE_UNAVAILABLE |
//! | a credential led astray | abuse/git/credentials.rs | a_credential_is_told_to_its_own_host_only | SOURCE_UNAVAILABLE |
//! | | abuse/git/credentials.rs | a_credential_is_not_among_the_arguments | SOURCE_UNAVAILABLE |
//! | | abuse/git/credentials.rs | a_withheld_credential_is_explained | SOURCE_UNAVAILABLE |
//! | 100 MB bodies | abuse/bodies.rs | a_hundred_megabytes_of_json_are_refused | PAYLOAD_TOO_LARGE |
//! | | abuse/bodies.rs | an_archive_over_the_limit_is_refused_and_leaves_nothing | PAYLOAD_TOO_LARGE |
//! | slow and stopped bodies, deep JSON, compressed bodies | abuse/bodies.rs | a_body_that_stops_is_given_up | BAD_REQUEST |
//! | | abuse/bodies.rs | a_body_that_trickles_is_given_up | BAD_REQUEST |
//! | | abuse/bodies.rs | json_that_nests_without_end_is_refused | BAD_REQUEST |
//! | | abuse/bodies.rs | a_compressed_body_is_taken_as_it_is | BAD_REQUEST |
//! | heads over the limit | abuse/bodies.rs | heads_over_the_limit_are_refused | 431 |
//! | request smuggling | abuse/bodies.rs | a_request_within_a_body_is_not_answered | 400 |
//! | half-sent headers, silence | abuse/connections.rs | half_sent_heads_are_closed | closed |
//! | | abuse/connections.rs | quiet_connections_are_closed | closed |
//! | too many connections, in total | abuse/connections.rs | one_connection_too_many_is_told_so | DEPENDENCY_FAILURE |
//! | too many connections, of one address | abuse/connections.rs | one_address_does_not_take_all_places | RATE_LIMIT_EXCEEDED |
//! | 10,000 idle connections | abuse/crowds.rs | ten_thousand_idle_connections_leave_room_for_others | RATE_LIMIT_EXCEEDED |
//! | HTTP/2: rapid reset, endless and empty continuations | abuse/http2.rs | streams_that_are_reset_at_once_end_the_connection | closed |
//! | | abuse/http2.rs | a_head_without_end_ends_the_connection | closed |
//! | | abuse/http2.rs | empty_continuations_end_the_connection | closed |
//! | HTTP/2: many streams, huge header lists | abuse/http2.rs | more_streams_than_agreed_are_refused | closed |
//! | | abuse/http2.rs | a_header_list_over_the_limit_reaches_no_route | closed |
//! | HTTP/2: answers that are asked for and not taken | abuse/http2.rs | an_answer_that_nobody_takes_is_given_up | closed |
//! | | abuse/http2.rs | an_answer_that_nobody_takes_ends_no_other | cut |
//! | | abuse/http2.rs | streams_count_among_the_requests_of_their_address | RATE_LIMIT_EXCEEDED |
//! | two hosts in one request | abuse/bodies.rs | a_request_for_two_hosts_or_none_is_refused | BAD_REQUEST |
//! | DNS rebinding of a developer's server | abuse/bodies.rs | a_website_does_not_reach_a_developers_server_by_its_own_name | FORBIDDEN |
//! | many ranges | api/previews/downloads.rs | many_ranges_cost_no_more_than_the_whole | 200 |
//! | a build script reaching out | abuse/hostile/isolated.rs | a_build_script_reaches_nothing | refused |
//! | | abuse/hostile/isolated.rs | a_bundlers_configuration_reaches_nothing | refused |
//! | | abuse/hostile/isolated.rs | an_install_script_reaches_nothing | refused |
//! | | abuse/hostile/isolated.rs | a_warm_bundler_reaches_nothing | refused |
//! | fork bomb, memory hog, disk filler | abuse/hostile/isolated.rs | processes_are_bounded | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/isolated.rs | memory_is_bounded | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/isolated.rs | memory_is_bounded_for_all_processes_together | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/isolated.rs | the_disk_is_bounded | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/isolated.rs | empty_files_are_bounded | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/isolated.rs | one_file_is_bounded | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/isolated.rs | nesting_is_bounded | PREVIEW_BUILD_FAILED |
//! | endless log | abuse/hostile/isolated.rs | the_log_is_bounded | cut |
//! | the same in `restricted` | abuse/hostile/restricted.rs | a_build_script_reaches_nothing | refused |
//! | | abuse/hostile/restricted.rs | a_bundlers_configuration_reaches_nothing | refused |
//! | | abuse/hostile/restricted.rs | an_install_script_reaches_nothing | refused |
//! | | abuse/hostile/restricted.rs | a_warm_bundler_reaches_nothing | refused |
//! | | abuse/hostile/restricted.rs | processes_are_bounded | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/restricted.rs | memory_is_bounded | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/restricted.rs | memory_is_bounded_for_all_processes_together | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/restricted.rs | the_disk_is_bounded | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/restricted.rs | empty_files_are_bounded | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/restricted.rs | one_file_is_bounded | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/restricted.rs | nesting_is_bounded | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/restricted.rs | the_log_is_bounded | cut |
//! | the same without a sandbox | abuse/hostile/unwalled.rs | processes_are_bounded | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/unwalled.rs | memory_is_bounded | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/unwalled.rs | the_disk_is_bounded | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/unwalled.rs | one_file_is_bounded | PREVIEW_BUILD_FAILED |
//! | the same on a server that is not root | abuse/hostile/unprivileged.rs | restricted_builds_reach_nothing | refused |
//! | | abuse/hostile/unprivileged.rs | isolated_builds_reach_nothing | refused |
//! | | abuse/hostile/unprivileged.rs | restricted_builds_are_bounded | PREVIEW_BUILD_FAILED |
//! | | abuse/hostile/unprivileged.rs | isolated_builds_are_bounded | PREVIEW_BUILD_FAILED |
//! | a build outlives its job | build/endings.rs | a_build_over_its_time_is_killed_with_all_it_started | PREVIEW_TIMEOUT |
//! | ... or its cancellation | build/endings.rs | a_cancelled_build_is_killed_with_all_it_started | CANCELLED |
//! | | build/endings.rs | a_cancelled_build_without_a_sandbox_is_killed_with_all_it_started | CANCELLED |
//! | | build/endings.rs | a_build_that_kills_its_own_group_leaves_nothing | PREVIEW_BUILD_FAILED |
//! | | build/endings.rs | a_build_whose_warden_stands_still_is_killed_with_all_it_started | CANCELLED |
//! | a warm bundler that holds what it is bound by | build/warm_hostile.rs | a_bundler_that_does_not_come_up_is_ended_with_all_it_started | killed |
//! | | cli/outlive.rs | a_killed_server_takes_its_bundlers_along | killed |
//! | | cli/outlive.rs | the_next_server_ends_what_a_bundler_has_left | killed |
//! | ... whose processes replace themselves | build/warm_hostile.rs | processes_that_replace_themselves_hold_nobody_up | 200 |
//! | shared dependencies poisoned | build/sandbox.rs | a_build_cannot_poison_the_dependencies_it_shares | refused |
//! | ... by a command that moves them away | build/diverted.rs | a_command_that_moves_its_dependencies_away_cannot_write_in_what_is_shared | PREVIEW_BUILD_FAILED |
//! | ... by a lockfile that names one package and fetches another | build/poison.rs | a_package_under_the_name_of_another_is_in_nobody_elses_downloads | left out |
//! | | build/poison.rs | a_second_lockfile_poisons_nobody_elses_dependencies | left out |
//! | ... by what a tree has committed | build/poison.rs | committed_dependencies_poison_nobody_elses | left out |
//! | shared downloads poisoned | build/poison.rs | a_package_made_by_a_script_is_not_made_among_everybodys_downloads | left out |
//! | | build/poison.rs | what_writes_in_a_managers_downloads_does_so_in_its_own_projects | left out |
//! | the server led by an install's links | build/escapes.rs | the_server_writes_through_no_link_that_an_install_left | refused |
//! | | build/escapes.rs | the_machines_settings_and_keys_are_closed_to_builds | refused |
//! | the operator's credential for more than packages | build/registry/gate/credentials.rs | a_credential_is_added_to_reading_packages_and_to_nothing_else | refused |
//! | | build/registry/gate/credentials.rs | nothing_that_changes_a_request_goes_along_with_a_credential | refused |
//! | sandbox missing: refused, not downgraded | build/failures.rs | without_a_sandbox_only_trusted_projects_build | SANDBOX_UNAVAILABLE |
//! | | abuse/hostile/missing.rs | without_any_level_builds_are_refused | SANDBOX_UNAVAILABLE |
//! | | abuse/hostile/missing.rs | a_level_that_was_asked_for_is_not_downgraded | refused |
//! | preview tokens forged, altered, expired | api/previews/tokens.rs | forged_tokens_are_refused_and_start_nothing | INVALID_OR_EXPIRED_TOKEN |
//! | | api/previews/tokens.rs | an_expired_token_is_refused_and_starts_nothing | INVALID_OR_EXPIRED_TOKEN |
//! | | api/previews/tokens.rs | a_token_ends_with_the_right_to_read_the_project | INVALID_OR_EXPIRED_TOKEN |
//! | a token of another project or job | api/previews/tokens.rs | an_access_token_opens_its_job_and_no_other | INVALID_OR_EXPIRED_TOKEN |
//! | JWT `alg: none`, wrong key | api/sessions.rs | forged_tokens_open_nothing | UNAUTHENTICATED |
//! | another user's project, job, log by id | api/previews/jobs.rs | strangers_see_and_change_nothing | PROJECT_ACCESS_DENIED |
//! | ... by every route, as every role | api/access/mod.rs | everybody_gets_what_the_table_says | its row |
//! | | api/access/mod.rs | every_operation_has_its_row | its row |
//! | another user's tokens, syncs | api/tokens.rs | nobody_manages_the_tokens_of_another | NOT_FOUND |
//! | | api/tokens.rs | a_token_does_what_its_scope_says | NOT_FOUND |
//! | path traversal in tree and file | api/project_sources/uploads.rs | paths_stay_inside_the_repository | INVALID_INPUT |
//! | path traversal in a preview | api/previews/web.rs | nothing_outside_of_the_site_is_served | NOT_FOUND |
//! | a crowd that opens a web preview | api/previews/web.rs | a_crowd_that_opens_a_site_unpacks_it_once | 200 |
//! | a script that costs a search for each reader | api/previews/web.rs | a_script_full_of_addresses_is_sent_as_it_is | 200 |
//! | stored script in project names and what people type | api/pages.rs | what_people_type_stays_text | text |
//! | ... in a project's page | api/previews/pages.rs | a_projects_name_is_text_on_its_page | text |
//! | ... in log lines | browser/preview_page.rs | a_page_follows_its_build_to_the_end | text |
//! | a web preview reading the dashboard's cookie | browser/web_previews.rs | a_site_on_the_shared_host_reaches_nothing_of_the_server | refused |
//! | | browser/web_previews.rs | a_site_on_its_own_host_has_its_own_origin | refused |
//! | brute-force login | api/sessions.rs | guessing_at_one_account_is_limited_until_the_window_passes | RATE_LIMIT_EXCEEDED |
//! | | api/sessions.rs | guessing_from_one_address_is_limited | RATE_LIMIT_EXCEEDED |

mod archives;
mod bodies;
#[path = "../build/builder.rs"]
mod builder;
mod cases;
#[path = "../common/mod.rs"]
mod common;
mod connections;
mod crowds;
mod git;
#[path = "../common/git_server.rs"]
mod git_server;
mod hostile;
mod http2;
#[path = "../common/npm.rs"]
mod npm;
#[path = "../cli/process.rs"]
mod process;
#[allow(dead_code, reason = "the tests of the command line use the rest")]
#[path = "../cli/client.rs"]
mod session;
#[path = "../common/sources.rs"]
mod sources;
#[path = "../build/tree.rs"]
mod tree;
#[path = "../common/unprivileged.rs"]
mod unprivileged;
