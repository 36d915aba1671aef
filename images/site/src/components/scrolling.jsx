// Content that may be wider than a phone scrolls in its own region, and a region
// that scrolls must be reachable by keyboard.

export function Code(props) {
  // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
  return <pre tabIndex={0} {...props} />;
}

export function Table(props) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
    <div class="table-scroll" tabIndex={0}>
      <table {...props} />
    </div>
  );
}

export const mdxComponents = { pre: Code, table: Table };
