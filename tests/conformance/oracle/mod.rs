//! Random sequences of operations: redb must answer as the memory adapter
//! does, also when its file is closed and opened in between.

mod operation;
mod snapshot;

use proptest::prelude::*;
use proptest::test_runner::Config;

use self::operation::{Operation, Run, any_operation};
use self::snapshot::snapshot;
use crate::subject::Subject;

/// Enough for a sequence to meet its own traces; each redb operation costs an
/// fsync.
const LENGTH: usize = 120;
const CASES: u32 = 24;

proptest! {
    #![proptest_config(Config {
        cases: CASES,
        max_shrink_iters: 400,
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn redb_answers_as_memory_does(
        operations in prop::collection::vec(any_operation(), 1..LENGTH)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(compare(operations))?;
    }
}

async fn compare(operations: Vec<Operation>) -> Result<(), TestCaseError> {
    let mut memory = Run::on(Subject::memory());
    let mut redb = Run::on(Subject::redb());
    for operation in operations {
        if let Operation::Reopen = operation {
            redb = redb.reopen();
            prop_assert_eq!(
                snapshot(&redb.subject).await,
                snapshot(&memory.subject).await
            );
            continue;
        }
        let expected = memory.apply(&operation).await;
        let answered = redb.apply(&operation).await;
        prop_assert_eq!(answered, expected, "{:?}", operation);
    }
    prop_assert_eq!(
        snapshot(&redb.subject).await,
        snapshot(&memory.subject).await
    );
    Ok(())
}
