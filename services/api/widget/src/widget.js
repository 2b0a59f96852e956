// The tracker and the elements. The server writes an element in the reader's language with the numbers of now; then the
// code of its part takes over.
//
//   <script async src="https://counter.example/widget.js" data-site="caobang"></script>
//   <truycap-counter></truycap-counter> <truycap-views></truycap-views> <truycap-rating></truycap-rating>
//
// Attributes of an element: lang (vi, en; else the page's), theme (classic, minimal, odometer), live="false";
// for the block lines="online today month total", for an article path="/its/path".

import { base, page, rate, site } from './tracker.js';

for (const name of ['counter', 'views', 'rating']) {
  try {
    customElements.define(
      'truycap-' + name,
      class extends HTMLElement {
        connectedCallback() {
          if (this.shadowRoot) return; // moved on its page
          const root = this.attachShadow({ mode: 'open' });
          const option = (name) => this.getAttribute(name) || '';
          const url = base + 'v1/sites/' + site + '/';
          const address = `${url + name}.html?lang=${option('lang') || page.documentElement.lang}&lines=${option('lines')}&path=${
            option('path') || location.pathname
          }`;
          const get = () =>
            fetch(address).then(async (answer) => {
              if (answer.ok) return answer.text();
              throw await answer.text();
            });
          Promise.all([get(), import(`${base}w/${option('theme')}.js`), import(`${base}w/${name}.js`)])
            .then(([html, theme, part]) => {
              const sheet = new CSSStyleSheet();
              sheet.replaceSync(part.css + theme.default);
              root.adoptedStyleSheets = [sheet];
              root.innerHTML = html;
              theme.roll?.(root);
              part.default(root, url, get, option('live') == 'false', rate);
            })
            .catch(console.warn);
        }
      },
    );
  } catch {} // pasted twice
}
