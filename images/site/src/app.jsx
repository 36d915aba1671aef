import { Footer } from './components/footer.jsx';
import { Header } from './components/header.jsx';
import { mdxComponents } from './components/scrolling.jsx';
import { resolve } from './routes.jsx';

export function App({ url, env, data }) {
  const { Page, prose, path, query, item } = resolve(url);
  return (
    <>
      <a class="skip" href="#main">
        Skip to content
      </a>
      <Header path={path} />
      <main id="main" tabIndex={-1} key={path}>
        {prose ? (
          <article class="prose">
            <Page components={mdxComponents} />
          </article>
        ) : (
          <Page path={path} query={query} item={item} data={data} env={env} />
        )}
      </main>
      <Footer env={env} />
    </>
  );
}
