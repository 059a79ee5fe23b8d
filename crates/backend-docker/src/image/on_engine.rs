//! Images on a real engine, from a real registry.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use backend_core::testkit::{Direction, FaultProxy};
use backend_core::{Chain, ErrorKind, Options as _, ProviderConfig};
use testbed::dockerd::Dockerd;
use testbed::registry::{PASSWORD, Registry, USER};

use super::*;

/// Big enough for a pull to be cut in the middle, and for several reports.
const LAYER: usize = 24 << 20;

/// An engine and a registry; a client of the engine that is not ours.
struct Bench {
    dockerd: Dockerd,
    registry: Registry,
    directory: tempfile::TempDir,
}

impl Bench {
    /// `None`, and a word about it, where this machine has no engine.
    fn new(registry: fn() -> anyhow::Result<Registry>) -> Option<Self> {
        let both = Dockerd::start().and_then(|dockerd| Ok((dockerd, registry()?)));
        match both {
            Ok((dockerd, registry)) => Some(Self {
                dockerd,
                registry,
                directory: tempfile::tempdir().unwrap(),
            }),
            Err(error) => {
                testbed::missing("docker", &format!("{error:#}"));
                None
            }
        }
    }

    fn engine(&self) -> Engine {
        let endpoint = crate::endpoint::Endpoint::Unix(self.dockerd.socket());
        Engine::new(endpoint, Duration::from_mins(1)).unwrap()
    }

    fn client(&self, arguments: &[&str]) -> String {
        self.dockerd.client(arguments).unwrap()
    }

    /// A name on the registry, or on what stands before it.
    fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.registry.address())
    }

    /// A tar file with one file of random bytes in it.
    fn tar(&self, length: usize) -> PathBuf {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{number}.bin");
        let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
            .take(length)
            .collect();
        std::fs::write(self.directory.path().join(&name), bytes).unwrap();
        let tar = self.directory.path().join(format!("{number}.tar"));
        let made = std::process::Command::new("tar")
            .arg("-cf")
            .arg(&tar)
            .arg("-C")
            .arg(self.directory.path())
            .arg(name)
            .status()
            .unwrap();
        assert!(made.success());
        tar
    }

    /// Puts an image on the registry, and nowhere else.
    fn publish(&self, name: &str, length: usize) {
        let tar = self.tar(length);
        self.client(&["import", tar.to_str().unwrap(), name]);
        self.client(&["push", "--quiet", name]);
        self.client(&["rmi", name]);
    }

    fn images(options: &[(&str, &str)]) -> Images {
        let config: ProviderConfig = options.iter().copied().collect();
        let mut images = Images::new(Arc::new(DockerOptions::parse("docker", &config).unwrap()));
        // Not those of who runs the tests.
        images.docker_files = None;
        images
    }
}

fn asking_for(name: &str) -> StartAttributes {
    StartAttributes {
        image_name: name.into(),
        ..StartAttributes::default()
    }
}

/// What was reported, and whom to report to.
fn recorder() -> (Arc<Mutex<Vec<Progress>>>, ProgressReporter) {
    let seen = Arc::new(Mutex::new(vec![]));
    let sink = seen.clone();
    let reporter = ProgressReporter::new(move |progress| sink.lock().unwrap().push(progress));
    (seen, reporter)
}

async fn ready(images: &Images, bench: &Bench, name: &str) -> Result<Image, ImageFailure> {
    let silent = ProgressReporter::default();
    let engine = bench.engine();
    images.get(&engine, &asking_for(name), &silent).await
}

/// Waits until a pull through the proxy is in the middle of its layer.
async fn middle(proxy: &FaultProxy) {
    let forwarded = || proxy.forwarded(Direction::FromTarget);
    let before = forwarded();
    while forwarded() - before < LAYER as u64 / 8 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until nobody pulls through the proxy.
async fn let_go(proxy: &FaultProxy) {
    let gone = async {
        while proxy.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let bound = Duration::from_secs(30);
    tokio::time::timeout(bound, gone).await.unwrap();
}

/// Kind, whole text and whether to retry.
fn said(failure: &ImageFailure) -> (ErrorKind, String, bool) {
    (
        failure.kind(),
        Chain(failure).to_string(),
        failure.is_retryable(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls() {
    let Some(bench) = Bench::new(Registry::start) else {
        return;
    };
    let engine = bench.engine();
    let name = bench.name("tool:1");
    bench.publish(&name, LAYER);

    // Never: it is there or it is not.
    let never = Bench::images(&[("pull-policy", "never")]);
    let (kind, text, retryable) = said(&ready(&never, &bench, &name).await.unwrap_err());
    assert_eq!((kind, retryable), (ErrorKind::NotFound, false), "{text}");
    assert!(
        text.contains("pull-policy") && text.contains(&name),
        "{text}"
    );

    // Missing: many starts, one pull, and all see its progress.
    let missing = Bench::images(&[]);
    let pulls = || {
        bench
            .registry
            .daemon()
            .log()
            .matches("http.request.method=GET")
            .count()
    };
    let before = pulls();
    let starts: Vec<_> = (0..8).map(|_| recorder()).collect();
    let attributes = asking_for(&name);
    let all = starts
        .iter()
        .map(|(_, reporter)| missing.get(&engine, &attributes, reporter));
    let all = futures_util::future::try_join_all(all).await.unwrap();
    assert!(all.iter().all(|image| *image == all[0]));
    let blobs = pulls() - before;
    assert!(
        blobs <= 6,
        "{blobs} requests\n{}",
        bench.registry.daemon().log()
    );
    for (seen, _) in &starts {
        let seen = seen.lock().unwrap();
        let last = seen.last().unwrap();
        assert!(last.done.is_some() && last.done == last.total, "{seen:?}");
        assert!(last.total.unwrap() > LAYER as u64 / 2, "{seen:?}");
        assert!(
            seen.iter()
                .all(|progress| progress.phase == Phase::Pulling && progress.detail == name)
        );
    }

    // The result is pinned, and has the registry's digest.
    let id = bench.client(&["inspect", "--format", "{{.Id}}", &name]);
    let digest = bench.client(&["inspect", "--format", "{{index .RepoDigests 0}}", &name]);
    let digest = digest.split_once('@').unwrap().1;
    assert_eq!(all[0].reference, id);
    assert_eq!(all[0].name, format!("{name}@{digest}"));
    // By its id and by its digest, it is the same.
    let by_digest = bench.name(&format!("tool@{digest}"));
    for other in [id.as_str(), by_digest.as_str()] {
        let image = ready(&never, &bench, other).await.unwrap();
        assert_eq!((image.reference, image.name.as_str()), (id.clone(), other));
    }

    // Missing takes what is there, although the registry has a newer one.
    let tar = bench.tar(1000);
    bench.client(&["import", tar.to_str().unwrap(), "new"]);
    bench.client(&["tag", &name, "old"]);
    bench.client(&["tag", "new", &name]);
    bench.client(&["push", "--quiet", &name]);
    let new = bench.client(&["inspect", "--format", "{{.Id}}", "new"]);
    bench.client(&["tag", "old", &name]);
    assert_eq!(ready(&missing, &bench, &name).await.unwrap().reference, id);
    // Always takes the newer one.
    let always = Bench::images(&[("pull-policy", "always")]);
    assert_eq!(ready(&always, &bench, &name).await.unwrap().reference, new);
    assert_eq!(ready(&missing, &bench, &name).await.unwrap().reference, new);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals() {
    let Some(bench) = Bench::new(Registry::start) else {
        return;
    };
    let images = Bench::images(&[]);
    let nobody = format!("127.0.0.1:{}/x", testbed::free_port().unwrap());
    for (name, kind, part, retryable) in [
        (
            bench.name("nothing:1"),
            ErrorKind::NotFound,
            "manifest unknown",
            false,
        ),
        (nobody, ErrorKind::Unreachable, "connection refused", true),
        (
            "Bad Name".into(),
            ErrorKind::InvalidInput,
            "`Bad Name`",
            false,
        ),
        (
            format!("sha256:{}", "0".repeat(64)),
            ErrorKind::NotFound,
            "an id is not",
            false,
        ),
    ] {
        let failure = ready(&images, &bench, &name).await.unwrap_err();
        let (got, text, again) = said(&failure);
        assert_eq!((got, again), (kind, retryable), "{text}");
        assert!(text.contains(part), "{part}: {text}");
        assert!(failure.hint().is_some());
    }
    let engine = bench.engine();
    let (nothing, silent) = (StartAttributes::default(), ProgressReporter::default());
    let none = images.get(&engine, &nothing, &silent).await;
    let (kind, text, _) = said(&none.unwrap_err());
    assert_eq!(kind, ErrorKind::InvalidInput, "{text}");

    let other = Bench::images(&[("platform", "linux/s390x")]);
    let name = bench.name("plain:1");
    bench.publish(&name, 1000);
    let (kind, text, _) = said(&ready(&other, &bench, &name).await.unwrap_err());
    assert_eq!(kind, ErrorKind::NotFound, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_stalls_or_is_left_ends() {
    let Some(bench) = Bench::new(Registry::start) else {
        return;
    };
    let proxy = FaultProxy::tcp(bench.registry.address()).await.unwrap();
    bench.publish(&bench.name("tool:1"), LAYER);
    let name = format!("{}/tool:1", proxy.address().unwrap());

    // In the middle of the layer, nothing moves any more.
    let forwarded = || proxy.forwarded(Direction::FromTarget);
    proxy.delay(Duration::from_millis(10));
    let in_the_middle = async {
        middle(&proxy).await;
        proxy.stall();
    };
    let images = Bench::images(&[("pull-timeout", "2s")]);
    let (stalled, ()) = tokio::join!(ready(&images, &bench, &name), in_the_middle);
    let (kind, text, retryable) = said(&stalled.unwrap_err());
    assert_eq!((kind, retryable), (ErrorKind::TimedOut, true), "{text}");
    assert!(text.contains("2s") && text.contains(&name), "{text}");
    // The engine has let go of it: nothing is pulled for nobody.
    proxy.resume();
    let_go(&proxy).await;
    assert!(forwarded() < LAYER as u64, "{}", forwarded());

    // One that goes away leaves the pull to the one that stays.
    let images = Bench::images(&[]);
    let (going, staying) = (ready(&images, &bench, &name), ready(&images, &bench, &name));
    let before = forwarded();
    let going = async {
        tokio::select! {
            image = going => panic!("too early: {image:?}"),
            () = middle(&proxy) => {}
        }
    };
    let ((), stayed) = tokio::join!(going, staying);
    stayed.unwrap();
    assert!(forwarded() - before < 2 * LAYER as u64);

    // When all are gone, the engine lets go of it.
    bench.client(&["rmi", &name]);
    let before = forwarded();
    tokio::select! {
        image = ready(&images, &bench, &name) => panic!("too early: {image:?}"),
        () = middle(&proxy) => {}
    }
    let_go(&proxy).await;
    assert!(forwarded() - before < LAYER as u64, "{}", forwarded());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_a_password_denies_who_has_none() {
    let Some(bench) = Bench::new(Registry::start_with_password) else {
        return;
    };
    let name = bench.name("secret:1");
    let images = Bench::images(&[]);
    let (kind, text, retryable) = said(&ready(&images, &bench, &name).await.unwrap_err());
    assert_eq!((kind, retryable), (ErrorKind::Denied, false), "{text}");

    // As the docker client leaves it.
    let files = bench.directory.path().join("files");
    let address = bench.registry.address().to_string();
    let config = ["--config", files.to_str().unwrap()];
    let client = |arguments: &[&str]| bench.client(&[&config, arguments].concat());
    client(&[
        "login",
        "--username",
        USER,
        "--password",
        PASSWORD,
        &address,
    ]);
    bench.client(&["import", bench.tar(1000).to_str().unwrap(), &name]);
    client(&["push", "--quiet", &name]);
    bench.client(&["rmi", &name]);
    let mut images = Bench::images(&[]);
    images.docker_files = Some(files.clone());
    ready(&images, &bench, &name).await.unwrap();

    // What is wrong with the credentials is told with the refusal.
    bench.client(&["rmi", &name]);
    let helper = format!(r#"{{"credHelpers": {{"{address}": "not-there"}}}}"#);
    std::fs::write(files.join("config.json"), helper).unwrap();
    let (kind, text, _) = said(&ready(&images, &bench, &name).await.unwrap_err());
    assert_eq!(kind, ErrorKind::Denied, "{text}");
    assert!(text.contains("docker-credential-not-there"), "{text}");
    let stored = format!(r#"{{"auths": {{"{address}": {{"auth": "dGVzdGVyOmh1bnRlcjI="}}}}}}"#);
    std::fs::write(files.join("config.json"), stored).unwrap();
    let (kind, text, _) = said(&ready(&images, &bench, &name).await.unwrap_err());
    assert_eq!(kind, ErrorKind::Denied, "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_file_system_is_imported_once() {
    let Some(bench) = Bench::new(Registry::start) else {
        return;
    };
    let engine = bench.engine();
    let tar = bench.tar(LAYER);
    let path = tar.to_str().unwrap();
    let attributes = StartAttributes::default();
    let images = Bench::images(&[("rootfs", path)]);
    let starts: Vec<_> = (0..8).map(|_| recorder()).collect();
    let all = starts
        .iter()
        .map(|(_, reporter)| images.get(&engine, &attributes, reporter));
    let all = futures_util::future::try_join_all(all).await.unwrap();
    assert!(all.iter().all(|image| *image == all[0]));
    assert!(
        all[0].name.starts_with(path) && all[0].name.contains("sha256:"),
        "{}",
        all[0].name
    );
    let count = || {
        bench
            .client(&["images", "--quiet", "--no-trunc", "worker-rootfs"])
            .lines()
            .count()
    };
    assert_eq!(count(), 1);
    for (seen, _) in &starts {
        let seen = seen.lock().unwrap();
        let last = seen.last().unwrap();
        assert!(
            last.done == last.total && last.done > Some(LAYER as u64),
            "{seen:?}"
        );
    }
    // Another provider finds it; other content under the same name is another.
    let again = Bench::images(&[("rootfs", path)]);
    let (seen, reporter) = recorder();
    assert_eq!(
        again.get(&engine, &attributes, &reporter).await.unwrap(),
        all[0]
    );
    assert!(seen.lock().unwrap().is_empty());
    std::fs::copy(bench.tar(1000), &tar).unwrap();
    let other = again
        .get(&engine, &attributes, &ProgressReporter::default())
        .await
        .unwrap();
    assert_ne!(other.reference, all[0].reference);
    assert_eq!(count(), 2);

    // A tar file that ends too early is the engine's to refuse.
    let cut = std::fs::read(&tar).unwrap();
    std::fs::write(&tar, &cut[..700]).unwrap();
    let failure = again
        .get(&engine, &attributes, &ProgressReporter::default())
        .await
        .unwrap_err();
    let (kind, text, retryable) = said(&failure);
    assert_eq!(kind, ErrorKind::InvalidInput, "{text}");
    assert!(
        text.contains(path) && text.contains("engine says") && !retryable,
        "{text}"
    );
    assert_eq!(count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_choose_among_what_is_there() {
    let Some(bench) = Bench::new(Registry::start) else {
        return;
    };
    let engine = bench.engine();
    let tar = bench.tar(1000);
    for name in ["travis:default", "ruby", "go:1"] {
        bench.client(&["import", tar.to_str().unwrap(), name]);
    }
    let silent = ProgressReporter::default();
    let tag = Bench::images(&[("image-selector", "tag"), ("default-image", "go:1")]);
    let env = Bench::images(&[
        ("image-selector", "env"),
        ("image-language-ruby", "go:1"),
        ("image-default", "travis:default"),
        ("default-image", "ruby"),
    ]);
    for (images, language, named, chosen) in [
        (&tag, "ruby", "", "ruby:latest"),
        (&tag, "C++ 17", "", "travis:default"),
        (&tag, "", "", "travis:default"),
        (&tag, "ruby", "go:1", "go:1"),
        (&env, "ruby", "", "go:1"),
        (&env, "go", "", "travis:default"),
    ] {
        let attributes = StartAttributes {
            language: language.into(),
            ..asking_for(named)
        };
        let image = images.get(&engine, &attributes, &silent).await.unwrap();
        assert!(
            image.name.starts_with(&format!("{chosen} (sha256:")),
            "{language}: {}",
            image.name
        );
    }
    bench.client(&["rmi", "travis:default"]);
    let image = tag
        .get(&engine, &StartAttributes::default(), &silent)
        .await
        .unwrap();
    assert!(image.name.starts_with("go:1 "), "{}", image.name);
}
