import { splitUrl } from '../router.js';

/** What the page /request shows of a request, as plain data. */
export function describeRequest(url, request) {
  const { path, query } = splitUrl(url);
  const header = (name) => request?.headers.get(name) ?? null;
  return {
    method: request?.method ?? 'GET',
    path,
    query: [...new URLSearchParams(query)],
    userAgent: header('user-agent'),
    acceptLanguage: header('accept-language'),
    accept: header('accept'),
  };
}
