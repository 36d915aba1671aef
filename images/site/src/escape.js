const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

export const escapeHtml = (text) =>
  text.replace(/[&<>"]/g, (character) => entities[character]);

/** JSON that cannot end the script element it stands in. */
export const scriptJson = (value) =>
  JSON.stringify(value).replace(/</g, '\\u003c');
