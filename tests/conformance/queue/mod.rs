//! Cases of `JobQueue`.

mod claims;
mod dedupe;
mod ends;
mod handing;
mod leases;
mod order;
mod wakeups;

use claims::*;
use dedupe::*;
use ends::*;
use handing::*;
use leases::*;
use order::*;
use wakeups::*;

use crate::subject::for_every_adapter;

for_every_adapter! {
    a_claim_starts_the_job
    nothing_is_claimed_twice
    completing_writes_the_result_once
    a_failed_completion_leaves_the_job_running
    completing_may_enqueue_and_cancel
    stats_count_every_state
    a_paused_queue_is_not_claimed_from
    workers_take_only_their_queues

    places_are_first_in_first_out
    urgent_jobs_go_first
    groups_take_turns
    a_flood_does_not_starve_others
    turns_count_within_a_queue
    a_group_is_limited
    the_server_itself_is_not_limited
    queues_are_emptied_in_the_order_asked
    delayed_jobs_wait_for_their_time
    a_due_job_stays_due_when_the_clock_is_set_back

    a_key_is_queued_once
    a_thousand_of_one_key_are_one_job
    a_push_during_a_run_queues_exactly_one_more
    the_latest_payload_wins_and_urgency_only_grows
    keys_belong_to_their_queue
    a_retry_yields_to_a_newer_job_of_its_key
    a_cancelled_key_is_free_again

    a_retry_waits_for_its_time
    the_last_failure_is_final
    a_failure_without_retry_is_final
    a_release_costs_nothing
    a_failed_job_is_retried_by_hand
    cancelling_a_queued_job_removes_it
    cancelling_a_running_job_ends_its_claim
    cancelling_races_completing
    a_refused_batch_does_not_end_the_job

    a_lease_ends_and_the_job_is_claimed_again
    renewing_keeps_a_job
    a_late_worker_is_refused_everything
    an_unnoticed_end_of_a_lease_may_still_be_mended
    the_third_dead_worker_buries_the_job
    the_preview_of_a_buried_job_ends_with_it
    a_restart_puts_every_running_job_back
    a_clock_that_jumps_an_hour_ends_every_lease_once

    a_job_that_waits_is_given_at_once
    a_waiting_worker_is_given_a_new_job
    waiting_workers_are_given_each_job_once
    waiting_workers_are_given_what_a_claim_would_take
    a_waiting_worker_passes_over_a_full_group
    a_waiting_worker_is_given_a_job_when_its_queue_goes_on
    a_waiting_worker_is_given_a_delayed_job_when_it_is_due
    a_waiting_worker_is_given_a_job_whose_lease_ends
    a_job_for_a_worker_that_has_gone_is_back

    a_waiter_wakes_for_new_jobs
    a_waiter_sleeps_while_nothing_happens
    a_wake_up_between_claim_and_wait_is_not_missed
    a_waiter_wakes_when_a_place_in_its_group_is_free
    a_waiter_wakes_when_its_queue_goes_on
    a_waiter_wakes_when_a_delayed_job_is_due
    a_waiter_wakes_when_a_lease_ends
}
