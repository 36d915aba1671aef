//! Images whose module is a layer of its own, as runwasi's are. containerd 1.6
//! cannot unpack them; an artifact without an image's configuration none runs.

use ssr_e2e::{Image, Lab};

#[test]
fn a_module_may_be_a_layer_beside_the_assets() {
    let lab = Lab::start();
    for media_type in [
        "application/wasm",
        "application/vnd.wasm.content.layer.v1+wasm",
        "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    ] {
        let site = lab.container(&Image::with_module_layers(&[media_type])).start();
        assert_eq!(site.get("/number?n=7").status, 200, "{media_type}: {}", site.log());
        assert_eq!(site.get("/hello.txt").body, "hello from the assets\n", "{media_type}");
        assert_eq!(site.exec(&["ssr", "health"]).code, 0, "{media_type}");
        assert_eq!(site.stop().code, 0, "{media_type}");
    }
    // The same module, in whichever way it came.
    assert_eq!((lab.compilations(), lab.compiled().len()), (1, 1));
    lab.assert_clean();
}

#[test]
fn a_module_may_be_all_that_is_in_the_image() {
    let lab = Lab::start();
    let site = lab.container(&Image::of_module_layer("application/wasm")).start();
    assert_eq!(site.get("/number?n=7").status, 200, "{}", site.log());
    assert_eq!(site.stop().code, 0);
    lab.assert_clean();
}

#[test]
fn of_two_modules_as_layers_none_is_chosen() {
    let lab = Lab::start();
    let ended = lab.container(&Image::with_module_layers(&["application/wasm", "application/wasm"])).to_end();
    assert_eq!(ended.code, 1, "{}", ended.log);
    assert!(ended.log.contains("2 modules as layers"), "{}", ended.log);
    lab.assert_clean();
}

#[test]
fn without_such_a_layer_the_missing_file_is_named() {
    let lab = Lab::start();
    let ended = lab.site().args(["/other.wasm", "/dist"]).to_end();
    assert_eq!(ended.code, 1, "{}", ended.log);
    assert!(ended.log.contains("'/other.wasm'"), "{}", ended.log);
    lab.assert_clean();
}
