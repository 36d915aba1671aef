// The site in a real browser: it hydrates without a change, and it is usable.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { limits } from '../../images/site/src/data/budget.js';
import { k3sMemory } from '../../images/site/src/data/figures.js';
import {
  collectComplaints,
  desktop,
  hydrated,
  phone,
  watchHydration,
  withBrowser,
} from './browser.mjs';
import { loadSite, missingPage, readSettings } from './site.mjs';

let settings;
let site;

before(async () => {
  settings = readSettings();
  site = await loadSite(settings);
  if (settings.screenshots)
    await mkdir(settings.screenshots, { recursive: true });
});

const address = (path) => new URL(path, settings.url).href;
const everyPage = () => [...site.pages, missingPage];
const statusOf = (path) => (path === missingPage ? 404 : 200);

async function screenshot(page, path, kind) {
  if (!settings.screenshots) return;
  const name = path === '/' ? 'home' : path.slice(1).replaceAll('/', '-');
  await page.screenshot({
    path: join(settings.screenshots, `${name}-${kind}.png`),
    fullPage: true,
  });
}

/** The site's part of the document, without what only a browser knows. */
function withoutLiveParts(html) {
  const parsed = html
    ? new DOMParser().parseFromString(html, 'text/html')
    : document;
  const app = parsed.getElementById('app').cloneNode(true);
  for (const element of app.querySelectorAll('[data-live]')) {
    element.replaceChildren();
    element.removeAttribute('class');
  }
  return app.innerHTML;
}

test('every page hydrates without a change', async (t) => {
  await withBrowser(desktop, async (context) => {
    for (const path of everyPage()) {
      await t.test(path, async () => {
        const page = await context.newPage();
        const complaints = collectComplaints(page);
        await watchHydration(page);
        const response = await page.goto(address(path));
        const html = await response.text();
        await hydrated(page);
        await page.waitForLoadState('networkidle');

        assert.equal(response.status(), statusOf(path));
        assert.deepEqual(await page.evaluate(() => window.changes), []);
        assert.equal(
          await page.evaluate(withoutLiveParts, null),
          await page.evaluate(withoutLiveParts, html),
        );
        assert.deepEqual(complaints, []);
        await screenshot(page, path, 'desktop');
        await page.close();
      });
    }
  });
});

test('every page and every image has a description', async (t) => {
  await withBrowser(desktop, async (context) => {
    const page = await context.newPage();
    const titles = new Set();
    const descriptions = new Set();
    for (const path of everyPage()) {
      await t.test(path, async () => {
        await page.goto(address(path));
        titles.add(await page.title());
        const facts = await page.evaluate(() => ({
          language: document.documentElement.lang,
          description: document.querySelector('meta[name=description]').content,
          headings: document.querySelectorAll('h1').length,
          imagesAtFault: [...document.images].filter(
            (image) =>
              !image.alt ||
              !image.getAttribute('width') ||
              !image.getAttribute('height') ||
              image.naturalWidth === 0,
          ).length,
          duplicateIds:
            document.querySelectorAll('[id]').length -
            new Set([...document.querySelectorAll('[id]')].map(({ id }) => id))
              .size,
        }));
        descriptions.add(facts.description);
        assert.equal(facts.language, 'en-GB');
        assert.equal(facts.headings, 1, 'one main heading');
        assert.equal(facts.imagesAtFault, 0, 'images have a text and a size');
        assert.equal(facts.duplicateIds, 0, 'no duplicate ids');
        assert.ok(facts.description.length > 20);
      });
    }
    assert.equal(titles.size, everyPage().length, 'titles differ');
    assert.equal(descriptions.size, everyPage().length, 'descriptions differ');
  });
});

test('no page scrolls sideways on a phone', async (t) => {
  await withBrowser(phone, async (context) => {
    const page = await context.newPage();
    for (const path of everyPage()) {
      await t.test(path, async () => {
        await page.goto(address(path));
        await hydrated(page);
        await page.waitForLoadState('networkidle');
        const [content, screen] = await page.evaluate(() => [
          document.documentElement.scrollWidth,
          window.innerWidth,
        ]);
        assert.equal(screen, 360);
        assert.ok(content <= 360, `${content} pixels wide`);
        await screenshot(page, path, 'phone');
      });
    }
  });
});

test('pages are dark in a dark colour scheme', async () => {
  await withBrowser({ ...desktop, colorScheme: 'dark' }, async (context) => {
    const page = await context.newPage();
    for (const path of ['/', '/how-it-works', '/boards', '/memory']) {
      await page.goto(address(path));
      await hydrated(page);
      const background = await page.evaluate(
        () => getComputedStyle(document.body).backgroundColor,
      );
      const [red, green, blue] = background.match(/\d+/g).map(Number);
      assert.ok(red + green + blue < 200, `${background} is dark`);
      await screenshot(page, path, 'dark');
    }
  });
});

test('links change the page without a reload', async () => {
  await withBrowser(desktop, async (context) => {
    const page = await context.newPage();
    const complaints = collectComplaints(page);
    await page.goto(address('/'));
    await hydrated(page);
    await page.evaluate(() => {
      window.marker = 'still here';
    });
    const marker = () => page.evaluate(() => window.marker);
    const heading = () => page.locator('h1').textContent();

    const first = { title: await page.title(), heading: await heading() };
    await page.evaluate(() => window.scrollTo(0, 900));
    await page.click('nav >> text=Boards');
    await page.waitForURL(address('/boards'));
    assert.equal(await heading(), 'Boards');
    assert.match(await page.title(), /^Boards /);
    assert.equal(await page.evaluate(() => window.scrollY), 0, 'at the top');
    assert.equal(
      await page.evaluate(() => document.activeElement.id),
      'main',
      'the focus is in the new page',
    );
    assert.equal(
      await page.locator('nav a[aria-current]').textContent(),
      'Boards',
    );

    await page.click('.board-grid >> text=Raspberry Pi Zero 2 W');
    await page.waitForURL(address('/boards/zero-2-w'));
    assert.equal(await heading(), 'Raspberry Pi Zero 2 W');

    await page.goBack();
    await page.waitForURL(address('/boards'));
    assert.equal(await heading(), 'Boards');
    await page.goBack();
    await page.waitForURL(address('/'));
    assert.deepEqual(
      { title: await page.title(), heading: await heading() },
      first,
    );
    await page.goForward();
    await page.waitForURL(address('/boards'));
    assert.equal(await heading(), 'Boards');

    await page.click('nav >> text=Request');
    await page.waitForFunction(
      () => document.querySelector('h1').textContent === 'Your request',
    );
    await page.click('text=link with awkward characters');
    await page.waitForSelector('dd:text-is("<script>alert(1)</script>")');
    await page.waitForSelector('dd:text-is("Grüße")');

    assert.equal(await marker(), 'still here');
    assert.deepEqual(complaints, []);
  });
});

// How many sites of this size fit into a board's memory, all in MB.
function sitesThatFit(memory, system, site) {
  return Math.max(0, Math.floor((memory - system) / site));
}

test('the memory budget follows its inputs', async () => {
  await withBrowser(desktop, async (context) => {
    const page = await context.newPage();
    const complaints = collectComplaints(page);
    await page.goto(address('/memory'));
    await hydrated(page);
    const count = async () => Number(await page.textContent('.count b'));
    const { start, step } = limits.site;
    assert.equal(await count(), sitesThatFit(512, limits.system.start, start));
    await page.focus('#site');
    await page.keyboard.press('ArrowRight');
    const site = start + step;
    assert.equal(await count(), sitesThatFit(512, limits.system.start, site));
    await page.fill('#system', '300');
    assert.equal(await count(), sitesThatFit(512, 300, site));
    await page.check('input[name=k3s]');
    assert.equal(await count(), 0);
    await page.selectOption('#board', '5.16384');
    assert.equal(await count(), sitesThatFit(16384, 300 + k3sMemory, site));
    await screenshot(page, '/memory', 'changed');

    await page.goto(address('/memory?board=4-b.2048&site=20&system=100'));
    await hydrated(page);
    assert.equal(await count(), sitesThatFit(2048, 100, 20));
    assert.deepEqual(complaints, []);
  });
});

test('the plate says what rendered the page', async () => {
  await withBrowser(desktop, async (context) => {
    const page = await context.newPage();
    const response = await page.goto(address('/'));
    await hydrated(page);
    const plate = await page.textContent('.plate');
    for (const name of ['SSR_SERVER', 'SSR_HOSTNAME']) {
      if (settings.env[name]) assert.ok(plate.includes(settings.env[name]));
    }
    const timing = await response.headerValue('server-timing');
    const shown = await page.textContent('[data-live="render-time"]');
    if (/\brender\b/.test(timing ?? '')) assert.match(shown, /^[\d.]+ ms$/);
    else assert.equal(shown, 'not stated');
  });
});

test('pages can be read without JavaScript', async (t) => {
  const options = { ...desktop, javaScriptEnabled: false };
  await withBrowser(options, async (context) => {
    const page = await context.newPage();
    for (const path of everyPage()) {
      await t.test(path, async () => {
        const response = await page.goto(address(path));
        assert.equal(response.status(), statusOf(path));
        assert.ok(await page.isVisible('h1'));
        assert.ok((await page.textContent('main')).length > 80);
        assert.ok(await page.isVisible('.plate'));
      });
    }
    await t.test('the server calculates the memory budget', async () => {
      await page.goto(address('/memory'));
      await page.selectOption('#board', '5.2048');
      await page.click('text=Work it out');
      const { system, site } = limits;
      const count = sitesThatFit(2048, system.start, site.start);
      assert.equal(await page.textContent('.count b'), String(count));
    });
  });
});

test('a note sent with the form is shown as text', async () => {
  await withBrowser(desktop, async (context) => {
    const page = await context.newPage();
    const complaints = collectComplaints(page);
    await page.goto(address('/request'));
    await hydrated(page);
    const note = '<img src=x onerror=alert(1)> "&\' 🍓';
    await page.fill('#note', note);
    await page.click('button:text-is("Send")');
    await page.waitForURL(/note=/);
    await hydrated(page);
    const shown = await page.locator('dd').allInnerTexts();
    assert.ok(shown.includes(note), `${note} is among ${shown}`);
    assert.deepEqual(complaints, []);
  });
});
