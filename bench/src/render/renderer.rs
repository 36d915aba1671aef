//! What the renderers have in common.

use anyhow::Result;
use cpu_time::ThreadTime;
use ssr_wasm::abi::request::RenderRequest;

/// Something that renders pages.
pub trait Renderer {
    /// Renders `page` `times` times. Returns the mean processor time in
    /// microseconds, and the size of the page in bytes.
    fn render(&mut self, page: &str, times: usize) -> Result<(f64, usize)>;
}

const HEADERS: &str = "accept\ntext/html\naccept-language\nen\nhost\nlocalhost\nuser-agent\nbench\n";

/// A request for a page, encoded for the guest.
pub fn request(page: &str) -> Vec<u8> {
    let url = format!("http://localhost{page}");
    RenderRequest {
        id: "bench",
        client: None,
        method: "GET",
        url: &url,
        path: page,
        headers: HEADERS,
        body: None,
    }
    .encode("")
}

/// Calls `render`, which returns the size of the page, `times` times on this
/// thread. Returns what [`Renderer::render`] does.
pub fn timed(times: usize, mut render: impl FnMut() -> Result<usize>) -> Result<(f64, usize)> {
    let mut size = 0;
    let start = ThreadTime::now();
    for _ in 0..times {
        size = render()?;
    }
    Ok((start.elapsed().as_secs_f64() * 1e6 / times as f64, size))
}
