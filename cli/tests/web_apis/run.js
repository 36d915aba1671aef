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

/** What `run` gives for each case of the kind, by the names of suite and case. */
async function runAll(kind, run) {
  const results = {};
  for (const [suite, kinds] of Object.entries(suites)) {
    for (const [name, it] of Object.entries(kinds[kind]))
      results[`${suite}: ${name}`] = await run(it);
  }
  return results;
}

export default {
  async fetch({ url }) {
    const results = url.endsWith('/cases')
      ? await runAll('cases', attempt)
      : await runAll('beyondNode', async ([run, wanted]) => ({
          got: await attempt(run),
          wanted,
        }));
    return new Response(JSON.stringify(results, plain));
  },
};
