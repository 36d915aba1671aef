//! Images whose module is a layer of its own, as runwasi makes them. They need containerd
//! 1.7: 1.6 cannot unpack them. No containerd runs an artifact that has no image
//! configuration.

use ssr_e2e::{Containerd, Image};

#[test]
fn a_module_may_be_a_layer_beside_the_assets() {
    let containerd = Containerd::start();
    for media_type in [
        "application/wasm",
        "application/vnd.wasm.content.layer.v1+wasm",
        "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    ] {
        let site = containerd.container(&Image::with_module_layers(&[media_type])).start();
        assert_eq!(site.get("/number?n=7").status, 200, "{media_type}: {}", site.log());
        assert_eq!(site.get("/hello.txt").body, "hello from the assets\n", "{media_type}");
        assert_eq!(site.exec(&["ssr", "health"]).code, 0, "{media_type}");
        assert_eq!(site.stop().code, 0, "{media_type}");
    }
    // It is the same module, whatever its media type.
    assert_eq!((containerd.compilations(), containerd.cached_code().len()), (0, 1));
    containerd.assert_clean();
}

#[test]
fn a_module_may_be_the_only_layer() {
    let containerd = Containerd::start();
    let site = containerd.container(&Image::from_module_layer("application/wasm")).start();
    assert_eq!(site.get("/number?n=7").status, 200, "{}", site.log());
    assert_eq!(site.stop().code, 0);
    containerd.assert_clean();
}

#[test]
fn an_image_with_two_module_layers_is_refused() {
    let containerd = Containerd::start();
    let exited =
        containerd.container(&Image::with_module_layers(&["application/wasm", "application/wasm"])).run();
    assert_eq!(exited.code, 1, "{}", exited.log);
    assert!(exited.log.contains("2 modules as layers"), "{}", exited.log);
    containerd.assert_clean();
}

#[test]
fn without_a_module_layer_the_missing_file_is_named() {
    let containerd = Containerd::start();
    let exited = containerd.site().args(["/other.wasm", "/dist"]).run();
    assert_eq!(exited.code, 1, "{}", exited.log);
    assert!(exited.log.contains("'/other.wasm'"), "{}", exited.log);
    containerd.assert_clean();
}
