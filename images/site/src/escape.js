const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

export const escapeHtml = (text) =>
  text.replace(/[&<>"]/g, (character) => entities[character]);

/** JSON that cannot close the script element that contains it. */
export const scriptJson = (value) =>
  JSON.stringify(value).replace(/</g, '\\u003c');
