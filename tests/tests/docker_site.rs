//! The site under Docker: `docker run` and all that people do with what runs.

use std::thread;
use std::time::Duration;

use ssr_e2e::{Docker, Image, http, shell};

/// GET as soon as somebody listens.
fn get(port: u16, path: &str) -> http::Answer {
    let url = format!("http://127.0.0.1:{port}{path}");
    shell::poll(|| http::try_get(&url).ok()).unwrap_or_else(|| panic!("{url} does not answer"))
}

#[test]
fn a_published_port_leads_to_the_site_and_stop_ends_it_with_0() {
    let docker = Docker::shared();
    let web = docker.named("published");
    let port = http::free_port();
    docker.does(&format!("docker run -d --name published -p 127.0.0.1:{port}:8080 -e GREETING=42 $site"));
    assert!(get(port, "/").body.contains("hello from the module"));
    assert!(get(port, "/env").body.contains("greeting: 42"));
    assert_eq!(get(port, "/hello.txt").body, "hello from the assets\n");

    let top = docker.does("docker top published");
    let lines: Vec<_> = top.lines().skip(1).collect();
    assert!(lines.len() == 1 && lines[0].ends_with("ssr serve /ssr.wasm /dist"), "{top}");

    docker.does("docker stop published");
    assert_eq!(web.inspect("{{.State.Status}} {{.State.ExitCode}}"), "exited 0");
    docker.does("docker start published");
    assert_eq!(get(port, "/").status, 200);
}

#[test]
fn run_in_the_foreground_ends_with_the_servers_exit_code_and_words() {
    let docker = Docker::shared();
    let said = docker.says("docker run --rm -e SSR_LISTEN=nonsense $site");
    assert_eq!(said.code, 78, "{}", said.stderr);
    assert!(said.stderr.contains("SSR_LISTEN") && said.stderr.contains("nonsense"), "{}", said.stderr);
    let said = docker.says("docker run --rm $site /nowhere");
    assert_eq!(said.code, 66, "{}", said.stderr);
    assert!(said.stderr.contains("/nowhere"), "{}", said.stderr);
}

#[test]
fn the_log_of_a_start_that_failed_says_why() {
    let docker = Docker::shared();
    let empty = docker.loaded(Image::of_module(b"\0asm\x01\0\0\0"));
    let web = docker.named("no-site");
    let name = empty.short_name();
    docker.does(&format!(
        "docker run -d --name no-site --runtime=io.containerd.ssr.v1 --platform=wasi/wasm {name}"
    ));
    web.wait_for("{{.State.Status}} {{.State.ExitCode}}", "exited 65");
    assert!(web.logs().contains("ssr build"), "{}", web.logs());
}

#[test]
fn what_is_no_program_is_refused_by_name() {
    let docker = Docker::shared();
    let _gone = docker.named("refused");
    let said = docker.says("docker run --name refused $site /missing.wasm");
    assert_ne!(said.code, 0);
    assert!(said.stderr.contains("/missing.wasm"), "{}", said.stderr);
}

#[test]
fn every_kind_of_network_leads_to_the_site() {
    let docker = Docker::shared();
    let _gone = ["net-none", "net-host", "net-bridge"].map(|name| docker.named(name));
    let port = http::free_port();
    docker.does(&format!(
        "docker network create pages
        docker run -d --name net-none --network none $site
        docker run -d --name net-host --network host -e SSR_LISTEN=127.0.0.1:{port} $site
        docker run -d --name net-bridge --network pages $site"
    ));
    assert_eq!(get(port, "/").status, 200);
    let answers = |session: &str| {
        let answer = shell::poll(|| Some(docker.says(session)).filter(|said| said.code == 0));
        answer.unwrap_or_else(|| panic!("{session}: {:?}", docker.says(session))).stdout
    };
    answers("docker exec net-none ssr health");
    let page = "<h1>hello from the module</h1>";
    assert!(
        answers("docker run --rm --network pages $linux wget -qO- http://net-bridge:8080/").contains(page)
    );
    let page_of_none =
        answers("docker run --rm --network container:net-none $linux wget -qO- http://127.0.0.1:8080/");
    assert!(page_of_none.contains(page));
    docker.does("docker rm -f net-bridge >/dev/null; docker network rm pages");
}

#[test]
fn limits_of_memory_and_processor_hold_and_are_shown() {
    let docker = Docker::shared();
    let web = docker.named("limited");
    let port = http::free_port();
    docker.does(&format!(
        "docker run -d --name limited -m 192m --cpus 0.5 --read-only -p 127.0.0.1:{port}:8080 $site"
    ));
    assert_eq!(get(port, "/").status, 200);
    let stats = docker.does("docker stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' limited");
    assert!(stats.contains("/ 192MiB"), "{stats}");
    assert!(!stats.starts_with("0B") && !stats.trim_end().ends_with(" 0"), "{stats}");
    assert_eq!(web.cgroup_file("memory.limit_in_bytes"), (192 * 1024 * 1024).to_string());
    assert_eq!(web.cgroup_file("cpu.cfs_quota_us"), "50000");

    docker.does("docker update --memory 256m --memory-swap 512m --cpus 0.8 limited");
    assert_eq!(web.cgroup_file("memory.limit_in_bytes"), (256 * 1024 * 1024).to_string());
    assert_eq!(web.cgroup_file("cpu.cfs_quota_us"), "80000");
    assert_eq!(get(port, "/").status, 200);
}

#[test]
fn a_site_out_of_memory_is_said_to_be_so() {
    let docker = Docker::shared();
    let web = docker.named("eater");
    let port = http::free_port();
    docker.does(&format!(
        "docker run -d --name eater -m 96m --memory-swap 96m -e SSR_RENDER_MEMORY=1GiB \
           -e SSR_RENDER_TIMEOUT=60s -p 127.0.0.1:{port}:8080 $site"
    ));
    assert_eq!(get(port, "/").status, 200);
    let _ = http::try_get(&format!("http://127.0.0.1:{port}/oom"));
    web.wait_for("{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}", "exited 137 true");
}

#[test]
fn volumes_are_served_and_files_of_the_image_replaced_by_them() {
    let docker = Docker::shared();
    let _gone = docker.named("volumes");
    let port = http::free_port();
    let dir = docker.dir().join("volume");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("page.txt"), "from a volume\n").unwrap();
    let dir = dir.display();
    docker.does(&format!(
        "docker run -d --name volumes -v {dir}:/dist/more:ro -v {dir}/page.txt:/dist/hello.txt:ro \
           -p 127.0.0.1:{port}:8080 $site"
    ));
    assert_eq!(get(port, "/more/page.txt").body, "from a volume\n");
    assert_eq!(get(port, "/hello.txt").body, "from a volume\n");
}

#[test]
fn a_killed_site_is_started_again_where_that_is_wanted() {
    let docker = Docker::shared();
    let web = docker.named("phoenix");
    let port = http::free_port();
    docker.does(&format!("docker run -d --name phoenix --restart on-failure -p 127.0.0.1:{port}:8080 $site"));
    assert_eq!(get(port, "/").status, 200);
    for count in ["1", "2"] {
        docker.does("kill -s KILL $(docker inspect --format '{{.State.Pid}}' phoenix)");
        web.wait_for("{{.RestartCount}} {{.State.Status}}", &format!("{count} running"));
        assert_eq!(get(port, "/").status, 200);
    }
}

#[test]
fn containers_of_one_site_share_its_compiled_code() {
    let docker = Docker::shared();
    let names = ["castor", "pollux"];
    let _gone = names.map(|name| docker.named(name));
    let code = names.map(|name| {
        let port = http::free_port();
        docker.does(&format!("docker run -d --name {name} -p 127.0.0.1:{port}:8080 $site"));
        assert_eq!(get(port, "/").status, 200);
        docker.does(&format!(
            "grep -om1 '/.*[.]code$' /proc/$(docker inspect -f '{{{{.State.Pid}}}}' {name})/maps"
        ))
    });
    assert!(code[0].contains("/io.containerd.ssr.v1/"), "{code:?}");
    assert_eq!(code[0], code[1]);
}

#[test]
fn the_health_check_of_an_image_makes_it_healthy() {
    let docker = Docker::shared();
    let web = docker.named("checked");
    let dir = docker.dir().join("health-check");
    std::fs::create_dir(&dir).unwrap();
    docker.does(&format!(
        r#"cd {} && cat >Dockerfile <<END
FROM ${{site##* }}
HEALTHCHECK --interval=1s CMD ["ssr", "health"]
END
        docker buildx build --quiet --platform wasi/wasm --provenance=false -t checked-site .
        docker run -d --name checked ${{site% *}} checked-site"#,
        dir.display()
    ));
    web.wait_for("{{.State.Health.Status}}", "healthy");
}

#[test]
fn health_by_exec_is_0_where_the_site_answers_and_1_where_not() {
    let docker = Docker::shared();
    let _gone = docker.named("asked");
    docker.does("docker run -d --name asked $site");
    let healthy = || (docker.says("docker exec asked ssr health").code == 0).then_some(());
    assert!(shell::poll(healthy).is_some());
    let said = docker.says(
        "pid=$(docker inspect --format '{{.State.Pid}}' asked); kill -s STOP $pid
        docker exec asked ssr health || code=$?
        kill -s CONT $pid; exit $code",
    );
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("8080"), "{}", said.stderr);
}

#[test]
fn a_module_can_be_executed_beside_the_one_that_is_served() {
    let docker = Docker::shared();
    let _gone = docker.named("second");
    docker.does("docker run -d --name second $site");
    docker.does("docker exec -d -e SSR_LISTEN=127.0.0.1:9090 second /ssr.wasm /dist");
    let healthy = "docker exec -e SSR_LISTEN=127.0.0.1:9090 second ssr health";
    assert!(shell::poll(|| (docker.says(healthy).code == 0).then_some(())).is_some());
    // The same address again is refused by the module's own words.
    let said = docker.says("docker exec second /ssr.wasm /dist");
    assert_eq!(said.code, 69, "{}{}", said.stdout, said.stderr);
    assert!(said.stderr.contains("0.0.0.0:8080"), "{}", said.stderr);
}

#[test]
fn a_paused_site_does_not_answer_and_an_unpaused_one_does() {
    let docker = Docker::shared();
    let web = docker.named("paused");
    let port = http::free_port();
    docker.does(&format!("docker run -d --name paused -p 127.0.0.1:{port}:8080 $site"));
    assert_eq!(get(port, "/").status, 200);
    docker.does("docker pause paused");
    assert_eq!(web.inspect("{{.State.Status}}"), "paused");
    let url = format!("http://127.0.0.1:{port}/");
    assert!(http::get_within(&url, Duration::from_secs(2)).is_err(), "a paused site answers");
    docker.does("docker unpause paused");
    assert_eq!(http::get(&url).status, 200);
}

#[test]
fn stop_lets_a_request_in_flight_finish() {
    let docker = Docker::shared();
    let web = docker.named("draining");
    let port = http::free_port();
    docker.does(&format!("docker run -d --name draining -p 127.0.0.1:{port}:8080 $site"));
    assert_eq!(get(port, "/").status, 200);
    let request = thread::spawn(move || http::try_get(&format!("http://127.0.0.1:{port}/slow?ms=2000")));
    // The request must have been accepted before the signal is sent.
    thread::sleep(Duration::from_millis(700));
    docker.does("docker stop draining");
    assert!(request.join().unwrap().expect("an answer").body.contains("slept 2000 ms"));
    assert_eq!(web.inspect("{{.State.ExitCode}}"), "0");
}

#[test]
fn kill_ends_the_site_with_137() {
    let docker = Docker::shared();
    let web = docker.named("killed");
    docker.does("docker run -d --name killed $site; docker kill killed");
    web.wait_for("{{.State.Status}} {{.State.ExitCode}}", "exited 137");
}

#[test]
fn what_pages_log_is_in_dockers_log() {
    let docker = Docker::shared();
    let web = docker.named("logging");
    let port = http::free_port();
    docker.does(&format!("docker run -d --name logging -p 127.0.0.1:{port}:8080 $site"));
    assert_eq!(get(port, "/log?text=needle").status, 200);
    web.wait_for_log("logged: needle");
}
