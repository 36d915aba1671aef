// A browser for one test: its own process and an empty profile, both removed
// afterwards.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export const desktop = { viewport: { width: 1280, height: 800 } };
export const phone = {
  viewport: { width: 360, height: 740 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
};

/** Runs `use(context)` in a fresh browser, then removes its profile. */
export async function withBrowser(options, use) {
  const profile = await mkdtemp(join(tmpdir(), 'ssr-browser-'));
  try {
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      headless: true,
      args: flags,
      locale: 'en-GB',
      ...options,
    });
    context.setDefaultTimeout(60_000);
    try {
      return await use(context);
    } finally {
      await context.close();
    }
  } finally {
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Collects page errors, console warnings and errors, and failed requests. */
export function collectComplaints(page) {
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(`page error: ${error}`));
  page.on('console', (message) => {
    if (!['error', 'warning'].includes(message.type())) return;
    // The browser reports a page that is meant to be missing as a failed
    // resource.
    const missing = / 404 /.test(message.text());
    if (missing && message.location().url === page.url()) return;
    complaints.push(`console ${message.type()}: ${message.text()}`);
  });
  page.on('requestfailed', (request) =>
    complaints.push(`failed: ${request.url()} ${request.failure()?.errorText}`),
  );
  page.on('response', (response) => {
    if (response.status() < 400 || response.request().isNavigationRequest())
      return;
    complaints.push(`status ${response.status()}: ${response.url()}`);
  });
  return complaints;
}

/**
 * Records every change to the document since the end of parsing, which is when
 * hydration happens. Elements marked `data-live` may change.
 */
export function watchHydration(page) {
  return page.addInitScript(() => {
    window.changes = [];
    const live = (node) =>
      (node.nodeType === 1 ? node : node.parentElement)?.closest('[data-live]');
    document.addEventListener('readystatechange', () => {
      if (document.readyState !== 'interactive') return;
      new MutationObserver((records) => {
        for (const { type, target, attributeName } of records) {
          if (live(target)) continue;
          const where = target.nodeName.toLowerCase();
          window.changes.push(`${type} ${attributeName ?? ''} in ${where}`);
        }
      }).observe(document.getElementById('app'), {
        subtree: true,
        childList: true,
        characterData: true,
        attributes: true,
      });
    });
  });
}

/** Waits until the page is hydrated. */
export async function hydrated(page) {
  await page.waitForSelector('html[data-hydrated]', { state: 'attached' });
  await page.waitForSelector('[data-live="hydration"].led-on');
}
