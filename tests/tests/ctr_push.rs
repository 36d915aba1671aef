//! `ssr push`: what arrives in a registry is what containerd pulls and runs.

use ssr_e2e::{Containerd, Image, Registry, shell};

#[test]
fn a_pushed_image_is_pulled_by_name_and_by_digest() {
    let registry = Registry::start();
    let image = Image::from_fixture("site.js");
    let name = registry.name_of("me/site:1");
    let digest = registry.push(&image, &name);

    let containerd = Containerd::start();
    for reference in [name.as_str(), digest.as_str()] {
        let args = ["image", "pull", "--plain-http", "--platform", "wasi/wasm", reference];
        shell::run(&mut containerd.ctr(args)).success();
    }
    let list = shell::run(&mut containerd.ctr(["image", "ls"])).success().stdout;
    let line = list.lines().find(|line| line.starts_with(&name)).expect("the image");
    let expected = digest.rsplit_once('@').expect("a digest").1;
    assert!(line.contains("wasi/wasm") && line.contains(expected), "{list}");
    assert!(line.contains("application/vnd.oci.image.manifest.v1+json"), "no index: {list}");
}
