const awkward =
  '/request?note=%3Cscript%3Ealert(1)%3C%2Fscript%3E&quote=%22%26%27&greeting=Gr%C3%BC%C3%9Fe';

export function RequestPage({ data }) {
  return (
    <div class="page">
      <h1>Your request</h1>
      <p class="lead">
        This page did not exist before you requested it. It was rendered from
        the request below, in a fresh WebAssembly instance that has since been
        discarded.
      </p>
      <dl class="facts wide">
        <Fact name="Method">{data.method}</Fact>
        <Fact name="Path">{data.path}</Fact>
        <Fact name="User-Agent">{data.userAgent}</Fact>
        <Fact name="Accept-Language">{data.acceptLanguage}</Fact>
        <Fact name="Accept">{data.accept}</Fact>
      </dl>
      <h2>Query</h2>
      {data.query.length > 0 ? (
        <dl class="facts wide">
          {data.query.map(([name, value], i) => (
            <Fact key={`${i}-${name}`} name={name}>
              {value}
            </Fact>
          ))}
        </dl>
      ) : (
        <p>This request had no query.</p>
      )}
      <h2>Send another request</h2>
      <form class="send" action="/request" method="get">
        <label for="note">A note to the server</label>
        <input
          id="note"
          name="note"
          autocomplete="off"
          maxLength={200}
          placeholder="<b>anything</b>"
        />
        <button class="button" type="submit">
          Send
        </button>
      </form>
      <p>
        {'The form reloads the page. The '}
        <a href={awkward}>link with awkward characters</a>
        {
          ' is fetched as JSON and rendered in your browser, by the same component from the same data. Either way, the script in it remains text.'
        }
      </p>
    </div>
  );
}

function Fact({ name, children }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children || 'not sent'}</dd>
    </div>
  );
}
