//! Projects that mean harm, built by the real worker: what they reach for they
//! must not get, what they use up ends them and nobody else, and the job says
//! so. The scenarios stand in [`reaching`], [`using_up`] and [`hiding`]; each level of the
//! sandbox that promises something has a file with its tests.

mod canaries;
mod hiding;
mod isolated;
mod missing;
mod reaching;
mod restricted;
mod unprivileged;
mod unwalled;
mod using_up;

use hivesync::config::Config;
use hivesync::domain::ProjectId;
use hivesync::domain::preview::Platform;
use hivesync::domain::project::ProjectConfig;

use crate::builder::{Builder, Tree};

/// How a server and its hostile project are set up for one level.
#[derive(Clone, Copy)]
struct Level {
    set: fn(&mut Config),
    /// Builds run only for projects that an admin vouches for.
    trusted: bool,
}

impl Level {
    async fn server(self, change: impl FnOnce(&mut Config)) -> Builder {
        Builder::with(|config| {
            (self.set)(config);
            change(config);
        })
        .await
    }

    async fn project(self, builder: &Builder) -> ProjectId {
        if self.trusted {
            builder.trusted_project().await
        } else {
            builder.project(ProjectConfig::default()).await
        }
    }
}

/// Others go on: a site without any script is built while the harm is done.
async fn assert_others_build(builder: &Builder, level: Level) {
    let other = level.project(builder).await;
    let site = Tree::of(&[("index.html", "<p>honest</p>")]);
    let built = builder.build(other, &site, Platform::Web).await;
    assert_eq!(built.text("dist/index.html"), "<p>honest</p>");
    let url = builder.server.url("/livez");
    let answer = builder.server.client.get(url).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
}
