//! A site under Docker: `docker run`, and what people do with running containers.

use std::thread;
use std::time::Duration;

use ssr_e2e::{Docker, Image, http, shell};

/// GET as soon as there is an answer.
fn get(port: u16, path: &str) -> http::Answer {
    let url = format!("http://127.0.0.1:{port}{path}");
    shell::poll(|| http::try_get(&url).ok()).unwrap_or_else(|| panic!("{url} does not answer"))
}

#[test]
fn a_published_port_leads_to_the_site_and_stop_makes_it_exit_with_0() {
    let docker = Docker::shared();
    let web = docker.named("published");
    let port = http::free_port();
    docker.sh(&format!("docker run -d --name published -p 127.0.0.1:{port}:8080 -e GREETING=42 $site"));
    assert!(get(port, "/").body.contains("hello from the module"));
    assert!(get(port, "/env").body.contains("greeting: 42"));
    assert_eq!(get(port, "/hello.txt").body, "hello from the assets\n");

    let top = docker.sh("docker top published");
    let lines: Vec<_> = top.lines().skip(1).collect();
    assert!(lines.len() == 1 && lines[0].ends_with("ssr: serve /ssr.wasm /dist"), "{top}");

    docker.sh("docker stop published");
    assert_eq!(web.inspect("{{.State.Status}} {{.State.ExitCode}}"), "exited 0");
    docker.sh("docker start published");
    assert_eq!(get(port, "/").status, 200);
}

#[test]
fn run_in_the_foreground_has_the_servers_exit_code_and_message() {
    let docker = Docker::shared();
    let output = docker.try_sh("docker run --rm -e SSR_LISTEN=nonsense $site");
    assert_eq!(output.code, 78, "{}", output.stderr);
    assert!(output.stderr.contains("SSR_LISTEN") && output.stderr.contains("nonsense"), "{}", output.stderr);
    let output = docker.try_sh("docker run --rm $site /nowhere");
    assert_eq!(output.code, 66, "{}", output.stderr);
    assert!(output.stderr.contains("/nowhere"), "{}", output.stderr);
}

#[test]
fn the_log_of_a_failed_start_says_why() {
    let docker = Docker::shared();
    let empty = docker.loaded(Image::from_module(b"\0asm\x01\0\0\0"));
    let web = docker.named("no-site");
    let name = empty.short_name();
    docker.sh(&format!(
        "docker run -d --name no-site --runtime=io.containerd.ssr.v1 --platform=wasi/wasm {name}"
    ));
    web.wait_for("{{.State.Status}} {{.State.ExitCode}}", "exited 65");
    assert!(web.logs().contains("ssr build"), "{}", web.logs());
}

#[test]
fn what_is_not_a_program_is_refused_by_name() {
    let docker = Docker::shared();
    let _gone = docker.named("refused");
    let output = docker.try_sh("docker run --name refused $site /missing.wasm");
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains("/missing.wasm"), "{}", output.stderr);
}

#[test]
fn the_site_is_reachable_on_every_kind_of_network() {
    let docker = Docker::shared();
    let _gone = ["net-none", "net-host", "net-bridge"].map(|name| docker.named(name));
    let port = http::free_port();
    docker.sh(&format!(
        "docker network create pages
        docker run -d --name net-none --network none $site
        docker run -d --name net-host --network host -e SSR_LISTEN=127.0.0.1:{port} $site
        docker run -d --name net-bridge --network pages $site"
    ));
    assert_eq!(get(port, "/").status, 200);
    let answers = |script: &str| {
        let answer = shell::poll(|| Some(docker.try_sh(script)).filter(|output| output.code == 0));
        answer.unwrap_or_else(|| panic!("{script}: {:?}", docker.try_sh(script))).stdout
    };
    answers("docker exec net-none ssr health");
    let page = "<h1>hello from the module</h1>";
    assert!(
        answers("docker run --rm --network pages $linux wget -qO- http://net-bridge:8080/").contains(page)
    );
    let page_of_none =
        answers("docker run --rm --network container:net-none $linux wget -qO- http://127.0.0.1:8080/");
    assert!(page_of_none.contains(page));
    docker.sh("docker rm -f net-bridge >/dev/null; docker network rm pages");
}

#[test]
fn memory_and_cpu_limits_take_effect_and_are_shown() {
    let docker = Docker::shared();
    let web = docker.named("limited");
    let port = http::free_port();
    docker.sh(&format!(
        "docker run -d --name limited -m 192m --cpus 0.5 --read-only -p 127.0.0.1:{port}:8080 $site"
    ));
    assert_eq!(get(port, "/").status, 200);
    let stats = docker.sh("docker stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' limited");
    assert!(stats.contains("/ 192MiB"), "{stats}");
    assert!(!stats.starts_with("0B") && !stats.trim_end().ends_with(" 0"), "{stats}");
    assert_eq!(web.cgroup_file("memory.limit_in_bytes"), (192 * 1024 * 1024).to_string());
    assert_eq!(web.cgroup_file("cpu.cfs_quota_us"), "50000");

    docker.sh("docker update --memory 256m --memory-swap 512m --cpus 0.8 limited");
    assert_eq!(web.cgroup_file("memory.limit_in_bytes"), (256 * 1024 * 1024).to_string());
    assert_eq!(web.cgroup_file("cpu.cfs_quota_us"), "80000");
    assert_eq!(get(port, "/").status, 200);
}

#[test]
fn a_site_out_of_memory_is_reported_as_oom_killed() {
    let docker = Docker::shared();
    let web = docker.named("eater");
    let port = http::free_port();
    docker.sh(&format!(
        "docker run -d --name eater -m 96m --memory-swap 96m -e SSR_RENDER_MEMORY_LIMIT=1GiB \
           -e SSR_RENDER_TIMEOUT=60s -p 127.0.0.1:{port}:8080 $site"
    ));
    assert_eq!(get(port, "/").status, 200);
    let _ = http::try_get(&format!("http://127.0.0.1:{port}/oom"));
    web.wait_for("{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}", "exited 137 true");
}

#[test]
fn volumes_are_served_and_replace_files_of_the_image() {
    let docker = Docker::shared();
    let _gone = docker.named("volumes");
    let port = http::free_port();
    let dir = docker.dir().join("volume");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("page.txt"), "from a volume\n").unwrap();
    let dir = dir.display();
    docker.sh(&format!(
        "docker run -d --name volumes -v {dir}:/dist/more:ro -v {dir}/page.txt:/dist/hello.txt:ro \
           -p 127.0.0.1:{port}:8080 $site"
    ));
    assert_eq!(get(port, "/more/page.txt").body, "from a volume\n");
    assert_eq!(get(port, "/hello.txt").body, "from a volume\n");
}

#[test]
fn a_killed_site_is_restarted_on_failure() {
    let docker = Docker::shared();
    let web = docker.named("phoenix");
    let port = http::free_port();
    docker.sh(&format!("docker run -d --name phoenix --restart on-failure -p 127.0.0.1:{port}:8080 $site"));
    assert_eq!(get(port, "/").status, 200);
    for count in ["1", "2"] {
        docker.sh("kill -s KILL $(docker inspect --format '{{.State.Pid}}' phoenix)");
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
        docker.sh(&format!("docker run -d --name {name} -p 127.0.0.1:{port}:8080 $site"));
        assert_eq!(get(port, "/").status, 200);
        // By the inode: a container sees the file through a mount of its own, without a path.
        let files = "find /var/lib /tmp -path '*/io.containerd.ssr.v1/*.code' -printf '%i\n' 2>/dev/null";
        docker.sh(&format!(
            "pid=$(docker inspect -f '{{{{.State.Pid}}}}' {name})
             for inode in $({files}); do grep -q \" $inode \" /proc/$pid/maps && echo $inode; done | sort -u"
        ))
    });
    assert_eq!(code[0].lines().count(), 1, "{code:?}");
    assert_eq!(code[0], code[1]);
}

#[test]
fn an_images_health_check_reports_healthy() {
    let docker = Docker::shared();
    let web = docker.named("checked");
    let dir = docker.dir().join("health-check");
    std::fs::create_dir(&dir).unwrap();
    docker.sh(&format!(
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
fn health_by_exec_exits_with_0_if_the_site_answers_and_with_1_if_not() {
    let docker = Docker::shared();
    let _gone = docker.named("asked");
    docker.sh("docker run -d --name asked $site");
    let healthy = || (docker.try_sh("docker exec asked ssr health").code == 0).then_some(());
    assert!(shell::poll(healthy).is_some());
    let output = docker.try_sh(
        "pid=$(docker inspect --format '{{.State.Pid}}' asked); kill -s STOP $pid
        docker exec asked ssr health || code=$?
        kill -s CONT $pid; exit $code",
    );
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(output.stderr.contains("8080"), "{}", output.stderr);
}

#[test]
fn a_second_server_can_be_executed_in_a_container() {
    let docker = Docker::shared();
    let _gone = docker.named("second");
    docker.sh("docker run -d --name second $site");
    docker.sh("docker exec -d -e SSR_LISTEN=127.0.0.1:9090 second /ssr.wasm /dist");
    let healthy = "docker exec -e SSR_LISTEN=127.0.0.1:9090 second ssr health";
    assert!(shell::poll(|| (docker.try_sh(healthy).code == 0).then_some(())).is_some());
    // On an address in use, the second server exits with its own error.
    let output = docker.try_sh("docker exec second /ssr.wasm /dist");
    assert_eq!(output.code, 69, "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("[::]:8080"), "{}", output.stderr);
}

#[test]
fn a_paused_site_does_not_answer_and_an_unpaused_one_does() {
    let docker = Docker::shared();
    let web = docker.named("paused");
    let port = http::free_port();
    docker.sh(&format!("docker run -d --name paused -p 127.0.0.1:{port}:8080 $site"));
    assert_eq!(get(port, "/").status, 200);
    docker.sh("docker pause paused");
    assert_eq!(web.inspect("{{.State.Status}}"), "paused");
    let url = format!("http://127.0.0.1:{port}/");
    assert!(http::get_within(&url, Duration::from_secs(2)).is_err(), "a paused site answers");
    docker.sh("docker unpause paused");
    assert_eq!(http::get(&url).status, 200);
}

#[test]
fn stop_lets_an_in_flight_request_finish() {
    let docker = Docker::shared();
    let web = docker.named("draining");
    let port = http::free_port();
    docker.sh(&format!("docker run -d --name draining -p 127.0.0.1:{port}:8080 $site"));
    assert_eq!(get(port, "/").status, 200);
    let request = thread::spawn(move || http::try_get(&format!("http://127.0.0.1:{port}/slow?ms=3000")));
    // The page logs this before it sleeps: the request is in flight when the signal comes.
    web.wait_for_log("sleeping 3000 ms");
    assert!(!request.is_finished(), "the answer came before the signal");
    docker.sh("docker stop draining");
    assert!(request.join().unwrap().expect("an answer").body.contains("slept 3000 ms"));
    assert_eq!(web.inspect("{{.State.ExitCode}}"), "0");
}

#[test]
fn kill_makes_the_site_exit_with_137() {
    let docker = Docker::shared();
    let web = docker.named("killed");
    docker.sh("docker run -d --name killed $site; docker kill killed");
    web.wait_for("{{.State.Status}} {{.State.ExitCode}}", "exited 137");
}

#[test]
fn what_a_page_logs_appears_in_dockers_log() {
    let docker = Docker::shared();
    let web = docker.named("logging");
    let port = http::free_port();
    docker.sh(&format!("docker run -d --name logging -p 127.0.0.1:{port}:8080 $site"));
    assert_eq!(get(port, "/log?text=needle").status, 200);
    web.wait_for_log("logged: needle");
}

#[test]
fn orphans_of_a_container_in_the_sites_pid_namespace_are_reaped() {
    let docker = Docker::shared();
    let _web = docker.named("reaps");
    docker.sh("docker run -d --name reaps $site");
    // Each shell ends before its background process, whose parent is then the server.
    let orphans =
        "for n in 1 2 3 4 5; do (sleep 0.2 &); done; sleep 1; grep -c '^State:.Z' /proc/[0-9]*/status";
    let output = docker.try_sh(&format!("docker run --rm --pid container:reaps $linux sh -c \"{orphans}\""));
    let zombies: Vec<_> = output.stdout.lines().filter(|line| !line.ends_with(":0")).collect();
    assert!(output.stdout.contains("/status:0") && zombies.is_empty(), "{}{}", output.stdout, output.stderr);
}

#[test]
fn an_executed_process_is_restricted_as_the_server_is() {
    let docker = Docker::shared();
    let _web = docker.named("restricted");
    let port = http::free_port();
    let options = "--security-opt no-new-privileges --cap-drop ALL --cap-add CHOWN --user 65532:65532";
    docker.sh(&format!("docker run -d --name restricted {options} -p 127.0.0.1:{port}:8080 $site"));
    get(port, "/");
    docker.sh("docker exec -d restricted ssr health '/slow?ms=5000'");
    let pids = || {
        let top = docker.sh("docker top restricted -o pid");
        let pids: Vec<String> = top.lines().skip(1).map(|pid| pid.trim().to_owned()).collect();
        (pids.len() == 2).then_some(pids)
    };
    let pids = shell::poll(pids).expect("two processes");
    let restrictions = |pid: &String| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
        let names = ["Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"];
        let value = |name: &&str| {
            let line = status.lines().find(|line| line.split(':').next() == Some(*name)).expect("a field");
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        names.iter().map(value).collect::<Vec<_>>()
    };
    let server = restrictions(&pids[0]);
    assert!(server.contains(&"NoNewPrivs: 1".to_owned()) && server.contains(&"Seccomp: 2".to_owned()));
    assert!(server.contains(&"CapBnd: 0000000000000001".to_owned()), "{server:?}");
    assert_eq!(restrictions(&pids[1]), server);
}
