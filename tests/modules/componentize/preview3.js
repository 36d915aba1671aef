import http from 'wasi:http/types@0.3.0';

const bytes = (text) => Uint8Array.from(text, (c) => c.charCodeAt(0));

export const handler = {
  async handle(request) {
    const headers = http.Fields.fromList([
      ['content-type', bytes('text/plain')],
    ]);
    const body = bytes(`GET ${request.getPathWithQuery()}`);
    const [response] = http.Response.new(
      headers,
      [body],
      Promise.resolve({ tag: 'ok', val: null }),
    );
    return response;
  },
};
