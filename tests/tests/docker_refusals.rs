//! What `docker run` cannot give a site, or could only give it wrongly, is refused in a
//! sentence that says what to do.

use ssr_e2e::{Docker, http, shell};

/// Asserts that `docker run` with these options fails, and says all the words.
fn assert_refused(docker: &Docker, options: &str, words: &[&str]) {
    let output = docker.try_sh(&format!("docker run --rm {options}"));
    assert_ne!(output.code, 0, "{options}");
    for word in words {
        assert!(output.stderr.contains(word), "no {word:?} for {options}: {}", output.stderr);
    }
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
}

#[test]
fn too_low_a_limit_of_processes_says_which_one_suffices() {
    let docker = Docker::shared();
    for limit in [1, 2, 4, 15] {
        assert_refused(&docker, &format!("--pids-limit {limit} $site"), &["limit of", "--pids-limit 16"]);
    }
    let _web = docker.named("few-tasks");
    let port = http::free_port();
    docker.sh(&format!("docker run -d --name few-tasks --pids-limit 16 -p 127.0.0.1:{port}:8080 $site"));
    let answers =
        || http::try_get(&format!("http://127.0.0.1:{port}/")).ok().filter(|page| page.status == 200);
    assert!(shell::poll(answers).is_some(), "a site does not serve with the limit that its error names");
    docker.sh("docker exec few-tasks ssr health");
}

#[test]
fn another_init_process_is_refused_with_advice() {
    assert_refused(&Docker::shared(), "--init $site", &["/ssr.wasm", "without --init"]);
}

#[test]
fn a_file_mounted_over_a_directory_is_named() {
    assert_refused(
        &Docker::shared(),
        "-v /etc/passwd:/dist:ro $site",
        &["'/etc/passwd'", "'/dist'", "directory"],
    );
}

#[test]
fn a_mount_over_proc_is_refused() {
    assert_refused(&Docker::shared(), "-v /tmp:/proc/sys:ro $site", &["/proc/sys", "another path"]);
}

#[test]
fn a_shell_in_a_sites_container_is_refused_with_advice() {
    let docker = Docker::shared();
    let _web = docker.named("no-shell");
    docker.sh("docker run -d --name no-shell $site");
    let output = docker.try_sh("docker exec no-shell sh");
    assert_ne!(output.code, 0);
    assert!((output.stdout + &output.stderr).contains("kubectl debug"));
}

#[test]
fn a_runtime_that_is_configured_by_its_path_says_how_to_configure_it() {
    let docker = Docker::shared();
    let output = docker.try_sh("docker run --rm --runtime by-path ${site#* }");
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains("\"runtimeType\": \"io.containerd.ssr.v1\""), "{}", output.stderr);
}

#[test]
fn commands_for_a_shell_are_to_be_written_as_lists() {
    let docker = Docker::shared();
    let output = docker.try_sh("docker run --rm --entrypoint sh $site -c '/ssr.wasm /dist'");
    assert_eq!(output.code, 127, "{}", output.stderr);
    assert!(
        output.stderr.contains("'/ssr.wasm /dist'") && output.stderr.contains("as a list"),
        "{}",
        output.stderr
    );

    let web = docker.named("curl-check");
    let check =
        "--health-cmd 'curl -f http://localhost:8080/ || exit 1' --health-interval 1s --health-retries 1";
    docker.sh(&format!("docker run -d --name curl-check {check} $site"));
    web.wait_for("{{.State.Health.Status}}", "unhealthy");
    let log = web.inspect("{{range .State.Health.Log}}{{.Output}}{{end}}");
    assert!(log.contains("[\"ssr\", \"health\"]"), "{log}");
}

#[test]
fn executed_commands_leave_nothing_in_the_bundle() {
    let docker = Docker::shared();
    let _web = docker.named("checked");
    docker.sh("docker run -d --name checked $site");
    docker.sh("until docker exec checked ssr health; do sleep 0.2; done");
    let id = docker.sh("docker inspect --format {{.Id}} checked");
    let bundle = docker.dir().join("state/io.containerd.runtime.v2.task/moby").join(id.trim());
    let files =
        || docker.sh(&format!("cd {} && find . -path ./rootfs -prune -o -print | sort", bundle.display()));
    let before = files();
    docker.sh("for n in 1 2 3 4 5 6 7 8 9 10; do docker exec checked ssr health; done");
    // Refused, and failed: whatever its end.
    docker.try_sh("docker exec checked sh; docker exec checked ssr health /no/such/page; docker exec -u nobody checked ssr");
    assert_eq!(files(), before);
}
