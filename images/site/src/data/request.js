import { splitUrl } from '../router.js';

/** The parts of a request that the page /request shows, as plain data. */
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
