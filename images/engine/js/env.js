// The site's environment. A pod may have hundreds of variables while a page
// reads two, so the text is only parsed on first access.

/** An object with the variables in `text` (`NAME=value\0` each). */
export function makeEnv(text) {
  const variables = {};
  let unread = text;
  const read = () => {
    if (unread === null) return variables;
    for (const variable of unread.split('\0')) {
      const equals = variable.indexOf('=');
      if (equals > 0)
        variables[variable.slice(0, equals)] = variable.slice(equals + 1);
    }
    unread = null;
    return variables;
  };
  return new Proxy(variables, {
    get: (_, name) => read()[name],
    has: (_, name) => name in read(),
    set: (_, name, value) => {
      read()[name] = String(value);
      return true;
    },
    deleteProperty: (_, name) => delete read()[name],
    ownKeys: () => Reflect.ownKeys(read()),
    getOwnPropertyDescriptor: (_, name) =>
      Object.getOwnPropertyDescriptor(read(), name),
  });
}
