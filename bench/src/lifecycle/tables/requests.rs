//! What components that answer requests cost: their start, requests in a closed loop, and memory.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ssr_bench::median;

use crate::contestant::Contestant;
use crate::stage::Stage;

/// Connections that ask at the same time.
const CONNECTIONS: [usize; 2] = [1, 16];

/// How long they ask in each round.
const ROUND: Duration = Duration::from_secs(3);

/// Whoever takes longer for an answer hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// The measurements of one row.
#[derive(Clone, Default)]
struct Row {
    start: Vec<f64>,
    per_second: [Vec<f64>; CONNECTIONS.len()],
    p99: [Vec<f64>; CONNECTIONS.len()],
    memory: Vec<f64>,
}

/// Prints the table.
pub fn measure(stage: &Stage, contestants: &[Contestant], rounds: usize) -> Result<()> {
    let mut rows = vec![Row::default(); contestants.len()];
    for round in 0..=rounds {
        for (contestant, row) in contestants.iter().zip(&mut rows) {
            let others = stage.running();
            let (start, port) = stage.start_to_answer(contestant, "component")?;
            let asked = CONNECTIONS.map(|connections| ask(port, connections));
            let memory: f64 = stage.memory_besides(&others).iter().sum();
            stage.kill(&["component"]).context(contestant.title)?;
            // The first round only warms up.
            if round == 0 {
                continue;
            }
            row.start.push(start * 1e3);
            row.memory.push(memory);
            for (index, asked) in asked.into_iter().enumerate() {
                let (per_second, p99) = asked.context(contestant.title)?;
                row.per_second[index].push(per_second);
                row.p99[index].push(p99 * 1e3);
            }
        }
    }
    print(contestants, rows, rounds)
}

fn print(contestants: &[Contestant], rows: Vec<Row>, rounds: usize) -> Result<()> {
    let columns = |row: Row| {
        let Row { start, per_second, p99, memory } = row;
        let [one, many] = per_second;
        let [p99_one, p99_many] = p99;
        [start, one, p99_one, many, p99_many, memory].map(median)
    };
    let [one, many] = CONNECTIONS;
    println!(
        "| median of {rounds} | start to first 200, ms | requests/s, {one} connection | p99, ms | requests/s, {many} connections | p99, ms | PSS after, MB |"
    );
    println!("|---|---|---|---|---|---|---|");
    let rows: Vec<_> = rows.into_iter().map(columns).collect();
    let ours = *rows.first().context("a contestant")?;
    for (contestant, row) in contestants.iter().zip(rows) {
        let cells = row
            .iter()
            .zip(ours)
            .zip([0, 0, 2, 0, 2, 1])
            .map(|((value, ours), digits)| format!("{value:.digits$} ({:.2}×)", value / ours));
        println!("| {} | {} |", contestant.title, cells.collect::<Vec<_>>().join(" | "));
    }
    Ok(())
}

/// Asks for `/` again and again. Returns requests per second, and the 99th percentile of their
/// times in seconds.
fn ask(port: u16, connections: usize) -> Result<(f64, f64)> {
    let begin = Instant::now();
    let clients: Vec<_> =
        (0..connections).map(|_| std::thread::spawn(move || client(port, begin + ROUND))).collect();
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
    }
    times.sort_by(f64::total_cmp);
    let p99 = times.get(times.len() * 99 / 100).copied().context("no answers")?;
    Ok((times.len() as f64 / begin.elapsed().as_secs_f64(), p99))
}

/// The times in seconds of the requests that one client sends, each when it has the answer to the
/// last. It connects again when a server has closed the connection.
fn client(port: u16, end: Instant) -> Result<Vec<f64>> {
    let mut connection = connect(port)?;
    let mut times = Vec::new();
    while Instant::now() < end {
        let begin = Instant::now();
        connection.get_mut().write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        let keeps = receive(&mut connection)?;
        if !keeps {
            connection = connect(port)?;
        }
        times.push(begin.elapsed().as_secs_f64());
    }
    Ok(times)
}

fn connect(port: u16) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// Reads one answer, whose body has a length, is chunked, or ends with the connection. Returns
/// whether the connection can take another request.
fn receive(answers: &mut BufReader<TcpStream>) -> Result<bool> {
    let status = read_line(answers)?;
    ensure!(status.starts_with("http/1.1 200"), "answered '{}'", status.trim());
    let (mut length, mut chunked, mut keeps) = (None, false, true);
    loop {
        let line = read_line(answers)?;
        match line.trim().split_once(':') {
            None => break,
            Some(("content-length", value)) => length = Some(value.trim().parse()?),
            Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
            Some(("connection", value)) => keeps = value.trim() != "close",
            Some(_) => {}
        }
    }
    if chunked {
        // A chunk of nothing is the last.
        while skip_chunk(answers)? > 0 {}
    } else if let Some(length) = length {
        skip(answers, length)?;
    } else {
        std::io::copy(answers, &mut std::io::sink())?;
        keeps = false;
    }
    Ok(keeps)
}

/// Skips a chunk with its line ends. Returns how many bytes it holds.
fn skip_chunk(answers: &mut BufReader<TcpStream>) -> Result<u64> {
    let line = read_line(answers)?;
    let length =
        u64::from_str_radix(line.trim(), 16).with_context(|| format!("a chunk's length: '{line}'"))?;
    skip(answers, length + 2)?;
    Ok(length)
}

fn skip(answers: &mut BufReader<TcpStream>, length: u64) -> Result<()> {
    let read = std::io::copy(&mut answers.take(length), &mut std::io::sink())?;
    ensure!(read == length, "the connection ended within an answer");
    Ok(())
}

/// The next line, in lower case.
fn read_line(answers: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    ensure!(answers.read_line(&mut line)? > 0, "the connection ended before an answer did");
    line.make_ascii_lowercase();
    Ok(line)
}
