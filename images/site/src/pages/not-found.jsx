export function NotFound({ path }) {
  return (
    <div class="page lost">
      <svg class="gap" viewBox="0 0 600 120" aria-hidden="true">
        <path d="M20 90H150l40-40h60M580 30H470l-40 40H380" />
        <path class="gap-pad" d="M20 90h0M250 50h0M380 70h0M580 30h0" />
        <path class="gap-hole" d="M20 90h0M250 50h0M380 70h0M580 30h0" />
      </svg>
      <h1>Page not found</h1>
      <p class="lead">
        There is no page at <code>{path}</code>, so the server answered with
        status 404.
      </p>
      <p>
        <a class="button" href="/">
          Back to the home page
        </a>
      </p>
    </div>
  );
}
