// Which members of the interfaces above are here: for each interface those that are not,
// or null if the whole interface is not there.

// Objects of interfaces whose members may stand on the objects themselves.
const objects = {
  Crypto: globalThis.crypto,
  MessageChannel: new MessageChannel(),
  Performance: globalThis.performance,
};

function missing(name, members) {
  const owner = globalThis[name];
  const object = objects[name] ?? owner?.prototype ?? owner;
  if (object === undefined) return null;
  return members.split(' ').filter((member) => {
    if (member.startsWith(`${name}.`))
      return !(member.slice(name.length + 1) in owner);
    const key = member.startsWith('[Symbol.')
      ? Symbol[member.slice('[Symbol.'.length, -1)]
      : member;
    return !(key in object);
  });
}

export default {
  fetch: () =>
    new Response(
      JSON.stringify(
        Object.fromEntries(
          Object.entries(interfaces).map(([name, { members }]) => [
            name,
            missing(name, members),
          ]),
        ),
      ),
    ),
};
