const chunks = [];
const buffer = new Uint8Array(1024);
for (
  let read = Javy.IO.readSync(0, buffer);
  read > 0;
  read = Javy.IO.readSync(0, buffer)
) {
  chunks.push(...buffer.subarray(0, read));
}
const { url, method } = JSON.parse(
  new TextDecoder().decode(Uint8Array.from(chunks)),
);
Javy.IO.writeSync(1, new TextEncoder().encode(`<h1>${method} ${url}</h1>`));
