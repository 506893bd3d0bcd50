//! `hivesync project`, `hivesync cancel` and `hivesync retry`.

use serde_json::json;

use crate::preview::{client, login, run, start_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_listed_shown_and_changed() {
    let (home, server) = start_with(&["serve", "--no-worker"]);
    login(&home, &server).expect(0);
    let call = |arguments: &[&str]| run(client(&home, &server, arguments));
    let empty = call(&["project", "list"]).expect(0);
    assert!(empty.stdout.contains("hivesync preview"), "{empty:?}");
    let told = call(&["preview", "site", "--no-wait", "--no-qr"]).expect(0);
    let list = call(&["project", "list", "--json"]).expect(0).json();
    let id = list["projects"][0]["id"].to_string();
    assert_eq!(list["projects"][0]["name"], "site");
    assert!(
        told.stderr.contains(&format!("to project site ({id})")),
        "{told:?}"
    );

    let set = ["project", "set", "--project", "site"];
    let changed = call(&[&set[..], &["install_scripts=true", "output_dir=out"]].concat());
    let said = changed.expect(0).stdout;
    assert!(said.contains("install_scripts = true"), "{said}");
    let reset = call(&[&set[..], &["output_dir="]].concat()).expect(0);
    assert!(!reset.stdout.contains("output_dir"), "{reset:?}");
    let shown = call(&["project", "show", &id, "--json"]).expect(0).json();
    assert_eq!(shown["config"]["install_scripts"], true);
    assert_eq!(shown["config"]["output_dir"], json!(null));
    for (word, says) in [
        ("install_script=true", "`install_scripts`"),
        ("trusted=true", "admin"),
    ] {
        let refused = call(&[&set[..], &[word]].concat()).expect(1);
        assert!(refused.stderr.contains(says), "{refused:?}");
    }
    call(&[&set[..], &["install_scripts"]].concat()).expect(2);
    let unknown = call(&["project", "show", "nothing"]).expect(1);
    assert!(
        unknown.stderr.contains("hivesync project list"),
        "{unknown:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_cancelled_and_tried_again() {
    let (home, server) = start_with(&["serve", "--no-worker"]);
    login(&home, &server).expect(0);
    let call = |arguments: &[&str]| run(client(&home, &server, arguments));
    let asked = call(&["preview", "site", "--no-wait", "--json"]).expect(0);
    let asked = asked.json();
    let job = asked["previews"][0]["job_id"].as_str().expect("a job");
    let cancelled = call(&["cancel", job]).expect(0);
    assert!(
        cancelled.stdout.starts_with("web: cancelled"),
        "{cancelled:?}"
    );
    let again = call(&["cancel", job]).expect(1);
    assert!(again.stderr.contains("JOB_ALREADY_COMPLETED"), "{again:?}");
    let retried = call(&["retry", job, "--json"]).expect(0);
    assert_eq!(retried.json()["status"], "queued");
    let wrong = call(&["retry", "../projects"]).expect(1);
    assert!(wrong.stderr.contains("job_"), "{wrong:?}");
}
