// What was thrown, as text for the log. Whatever it is, describing it does not throw.

import { errorText, inspect, isError, plainText } from './inspect.js';

/** Most errors of a chain of causes, and of an AggregateError. */
const MAX_ERRORS = 10;

/** Describes any thrown value as [message, stack]. */
export function describeThrown(thrown) {
  try {
    if (!isError(thrown)) return [`thrown: ${plainText(thrown)}`, ''];
    const { head, stack } = errorText(thrown);
    return [
      head,
      [stack, ...details(thrown, [thrown])].filter(Boolean).join('\n'),
    ];
  } catch {
    return ['thrown: an object that cannot be shown', ''];
  }
}

/** The error's causes and members, those of others only once. */
function details(error, seen) {
  const lines = [];
  const add = (label, value) => {
    if (seen.includes(value)) {
      lines.push(`${label} [Circular]`);
    } else if (seen.length >= MAX_ERRORS) {
      lines.push(`${label} …`);
    } else if (isError(value)) {
      seen.push(value);
      const { head, stack } = errorText(value);
      lines.push(`${label} ${head}`, stack, ...details(value, seen));
    } else {
      lines.push(`${label} ${inspect(value)}`);
    }
  };
  const cause = Object.getOwnPropertyDescriptor(error, 'cause');
  if (cause && 'value' in cause && cause.value !== undefined)
    add('caused by', cause.value);
  const members = Object.getOwnPropertyDescriptor(error, 'errors')?.value;
  if (Array.isArray(members)) {
    for (const member of members.slice(0, MAX_ERRORS))
      add('one of them:', member);
    if (members.length > MAX_ERRORS)
      lines.push(`and ${members.length - MAX_ERRORS} more`);
  }
  return lines;
}
