// Runs the cases above, wherever this is, and answers with what each of them gave.
const plain = (_, value) =>
  value === undefined
    ? '(undefined)'
    : typeof value === 'number' && !Number.isFinite(value)
      ? `(${value})`
      : value;

async function attempt(run) {
  let timer;
  try {
    const never = new Promise((_, fail) => {
      timer = setTimeout(fail, 1000, { name: 'never settled' });
    });
    return { gave: await Promise.race([run(), never]) };
  } catch (error) {
    return { threw: error?.name ?? error };
  } finally {
    clearTimeout(timer);
  }
}

export default {
  async fetch({ url }) {
    const results = {};
    if (url.endsWith('/cases')) {
      for (const [name, run] of Object.entries(cases))
        results[name] = await attempt(run);
    } else {
      for (const [name, [run, wanted]] of Object.entries(beyondNode))
        results[name] = { got: await attempt(run), wanted };
    }
    return new Response(JSON.stringify(results, plain));
  },
};
