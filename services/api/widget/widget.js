// truycap's widget: counts the page and fills <truycap-counter>, <truycap-views> and <truycap-rating>.
//   <script async src="https://counter.example/widget.js" data-site="caobang"></script>
// data-lang: vi or en, else the page's language; data-member="true": the reader is logged in.
(() => {
  'use strict';
  const script = document.currentScript ?? document.querySelector('script[data-site]');
  if (!script || customElements.get('truycap-counter')) return; // pasted twice: count once
  const { site, lang = document.documentElement.lang, member } = script.dataset;
  const api = new URL(script.src, location).origin;
  const MINUTE = 60_000, DAY = 86_400_000;
  const warn = (message) => console.warn(`truycap: ${message}`);
  const why = async (answer) => (await answer.json().catch(() => null))?.error?.message ?? `HTTP ${answer.status}`;
  const once = (map, key, make) => map.get(key) ?? map.set(key, make()).get(key);
  if (!site) return warn('the script needs data-site="…", the id of the site.');

  // What the browser keeps: who reads, their votes, what was not acknowledged; in memory where it may not

  const ME = `truycap:${site}`, UNSENT = `${ME}:unsent`;
  const memory = {};
  const read = (key) => {
    try { return memory[key] ?? JSON.parse(localStorage.getItem(key)); } catch { return null; }
  };
  /** Whether the browser keeps it when the page is closed. */
  const write = (key, value) => {
    delete memory[key];
    try { localStorage.setItem(key, JSON.stringify(value)); } catch { memory[key] = value; }
    return !(key in memory);
  };
  const age = (time) => (time <= Date.now() ? Date.now() - time : Infinity);
  // randomUUID is missing on plain http pages
  const uuid = () => crypto.randomUUID?.() ?? '10000000-1000-4000-8000-100000000000'.replace(/[018]/g, (digit) =>
    (digit ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (digit / 4)))).toString(16));

  // Without an id the server tells visitors apart by a daily hash.
  const anonymous = navigator.globalPrivacyControl || navigator.doNotTrack === '1' || !write(ME, read(ME));
  const me = () => {
    const known = read(ME);
    if (known?.votes && age(known.born) < DAY) return known;
    const fresh = { id: uuid(), born: Date.now(), votes: {} };
    if (anonymous) fresh.id = '';
    write(ME, fresh);
    return fresh;
  };
  const visitor = () => (anonymous ? '' : me().id);

  // Sending events

  const post = async (body) => fetch(`${api}/v1/events`, {
    method: 'POST', body: JSON.stringify(body), credentials: 'omit', keepalive: true,
    headers: { 'content-type': 'text/plain;charset=UTF-8' }, // any other type costs a preflight request
    signal: AbortSignal.timeout(MINUTE / 2),
  });
  const unsent = () => [read(UNSENT) ?? []].flat().filter((kept) => kept?.event && age(kept.born) < DAY);
  const drop = (dropped) => write(UNSENT, unsent().filter(({ event }) => !dropped(event)));
  /** Send an event: 'saved', 'later' (kept and sent again) or 'refused' (dropped; the console says why). */
  const send = async (event, born = Date.now()) => {
    const mine = ({ id }) => id === event.id;
    // Kept before it goes, so that a closed page loses nothing; not due again before this attempt must be over.
    const keep = (due) => write(UNSENT, [
      ...unsent().filter((kept) => !mine(kept.event)), { event: { ...event, attempt: event.attempt + 1 }, born, due },
    ].slice(-50));
    keep(Date.now() + MINUTE);
    const answer = await post(event).catch(() => null);
    const status = answer?.status ?? 0;
    if (status !== 202 && (status < 400 || status === 429 || status >= 500)) {
      if (unsent().some((kept) => mine(kept.event))) keep(0); // else a newer vote has dropped it meanwhile
      return 'later';
    }
    drop(mine);
    if (status === 202) return 'saved';
    warn(`${event.type} refused: ${await why(answer)}`);
    return 'refused';
  };
  const sendAgain = async () => {
    for (const { event, born, due } of unsent()) {
      if (due <= Date.now() && await send(event, born) === 'later') return;
    }
  };

  const cut = (text, length) => [...text].slice(0, length).join('');
  const seen = (type) => ({
    type, site, url: cut(location.href.split('#')[0], 2048), visitor: visitor(), member: member === 'true',
  });
  const count = async () => {
    const { referrer, title } = document;
    const more = { id: uuid(), referrer: cut(referrer, 4096), title: cut(title, 1024), attempt: 0 };
    const outcome = await send({ ...seen('pageview'), ...more });
    if (outcome === 'saved') sendAgain();
    return outcome;
  };
  let last = Date.now();
  const ping = () => {
    if (document.hidden || age(last) < MINUTE - 5000) return;
    last = Date.now();
    post(seen('ping')).then(sendAgain).catch(() => {});
  };

  // Numbers

  const urlOf = (id, what) => `${api}/v1/sites/${encodeURIComponent(id)}/${what}`;
  /** The live counts of a site: one connection for all elements, closed while hidden; null as long as none came. */
  const feedOf = (id) => {
    const shows = new Set();
    let counts = null, failures = 0, turn = 0, source, timer;
    const publish = (json) => {
      try {
        counts = JSON.parse(json);
        shows.forEach((show) => show(counts));
      } catch (error) { warn(error.message); }
    };
    const stop = () => { turn += 1; clearTimeout(timer); source?.close(); };
    const again = () => {
      stop();
      if (!counts) publish(null);
      failures += 1; // each fourth try is a stream again, the others ask once
      timer = setTimeout(failures % 4 ? poll : open, Math.min(2 ** failures, 60) * (500 + 1000 * Math.random()));
    };
    const open = () => {
      stop();
      if (document.hidden || !shows.size) return;
      source = new EventSource(urlOf(id, 'live'));
      source.onerror = again;
      source.addEventListener('counts', ({ data }) => {
        clearTimeout(timer);
        failures = 0;
        publish(data);
      });
      timer = setTimeout(again, 10_000); // a buffering proxy lets the stream open and nothing through
    };
    const poll = async () => {
      const mine = turn;
      const answer = await fetch(urlOf(id, 'counts'), { credentials: 'omit' }).catch(() => null);
      const next = answer?.ok && await answer.text().catch(() => null);
      if (mine !== turn) return;
      if (next) publish(next);
      if (answer?.status === 403 || answer?.status === 404) warn(`no numbers: ${await why(answer)}`);
      else again();
    };
    const add = (show) => { shows.add(show); if (shows.size === 1) open(); else if (counts) show(counts); };
    return { open, stop, add, remove: (show) => { shows.delete(show); if (!shows.size) stop(); } };
  };
  const feeds = new Map(), items = new Map();
  /** Views and rating of this page's article, asked for when this reader should be among them; null on failure. */
  const itemOf = (id) => once(items, id, async () => {
    if (await counted === 'saved') await new Promise((done) => { setTimeout(done, 600); });
    const url = urlOf(id, `items?path=${encodeURIComponent(location.pathname)}`);
    // no-cache: else a reload shows the answer that the page before it got
    const answer = await fetch(url, { credentials: 'omit', cache: 'no-cache' }).catch(() => null);
    return answer?.ok ? answer.json().catch(() => null) : null;
  });

  // Elements

  const LINES = ['online', 'members', 'bots', 'guests', 'today', 'month', 'total'];
  const LABELS = {
    vi: {
      locale: 'vi-VN', title: 'Thống kê truy cập', online: 'Đang truy cập', members: 'Thành viên online',
      bots: 'Máy chủ tìm kiếm', guests: 'Khách viếng thăm', today: 'Hôm nay', month: 'Tháng hiện tại',
      total: 'Tổng lượt truy cập', views: 'lượt xem', rating: 'Tổng số điểm của bài viết là: %1 trong %2 đánh giá',
      rate: 'Click để đánh giá bài viết', rated: 'Bạn đã đánh giá bài viết này rồi', average: 'Xếp hạng',
      saved: 'Cảm ơn bạn đã đánh giá bài viết', later: 'Chưa lưu được đánh giá, sẽ gửi lại sau',
      refused: 'Không lưu được đánh giá của bạn',
      stars: ['Bài viết rất kém', 'Bài viết kém', 'Bài viết đạt', 'Bài viết tốt', 'Bài viết rất tốt'],
    },
    en: {
      locale: 'en-US', title: 'Statistics', online: 'Online', members: 'Members', bots: 'Search engine',
      guests: 'Guest', today: 'Today', month: 'This month', total: 'Total', views: 'views',
      rating: 'Total notes of this article: %1 in %2 rating', rate: 'Click on stars to rate this article',
      rated: 'You have already rated this article', average: 'Rating', saved: 'Thank you for rating this article',
      later: 'Your rating is not saved yet and will be sent again', refused: 'Your rating could not be saved',
      stars: ['Very poor article', 'Poor article', 'Normal article', 'Good article', 'Excellent article'],
    },
  };
  // Font and colours come from the page, so that everything fits it, a light one and a dark one.
  const CSS = `
    :host { display: block; font-size: 14px; line-height: 1.5 }
    :host(truycap-counter) { container-type: inline-size }
    :host(truycap-views) { display: inline-block; min-width: 7em; font: inherit }
    dl, dd, fieldset, p { margin: 0; padding: 0; border: 0 }
    section { --line: color-mix(in srgb, currentColor 16%, transparent); border: 1px solid var(--line);
      border-radius: 6px; overflow: hidden }
    .title { padding: .5em .8em; font-weight: 600; background: var(--truycap-accent, #0b5cad); color: #fff }
    dl { display: flex; flex-direction: column; min-height: 12em; padding: .2em .8em }
    .waits { visibility: hidden }
    @container (width < 200px) { section { font-size: 11.5px } dl, .title { padding: .4em .5em } }
    dl > div { display: flex; flex: 1 0 auto; align-items: center; justify-content: space-between; gap: .5em }
    dl > [hidden] { display: none }
    dl > * + * { border-top: 1px solid var(--line) }
    dd { font-weight: 600; font-variant-numeric: tabular-nums }
    dt::before { content: ""; display: inline-block; width: 1em }
    .today dt::before, .month dt::before, .total dt::before { display: none }
    .online dt::before { width: .6em; height: .6em; margin-right: .4em; border-radius: 50%; background: #1f9d55 }
    .bar { display: flex; flex-wrap: wrap; align-items: center; gap: 0 .6em; font-weight: 600; white-space: nowrap }
    fieldset { display: flex }
    label { position: relative; padding: .2em; border-radius: 4px }
    label:has(:focus-visible) { outline: 2px solid }
    input { position: absolute; inset: 0; margin: 0; opacity: 0; cursor: pointer }
    i { display: block; width: 1.6em; height: 1.6em; background: currentColor; opacity: .3; forced-color-adjust: none;
      clip-path: polygon(50% 3%, 64% 35%, 98% 38%, 72% 61%, 80% 95%, 50% 77%, 20% 95%, 28% 61%, 2% 38%, 36% 35%) }
    .lit i, fieldset:hover label i { background: var(--truycap-star, #c97a00); opacity: 1 }
    fieldset label:hover ~ label i { background: currentColor; opacity: .3 }`;

  const make = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  /** Set a property where it differs: what stays the same on the page is not touched. */
  const put = (target, name, value) => { if (target[name] !== value) target[name] = value; };
  let sheet;
  /** build fills a shadow root for a site with labels and formats, and returns what is to be done at removal. */
  const define = (name, build) => customElements.define(name, class extends HTMLElement {
    connectedCallback() {
      try {
        if (!sheet) (sheet = new CSSStyleSheet()).replaceSync(CSS);
        const root = this.shadowRoot ?? this.attachShadow({ mode: 'open' });
        root.adoptedStyleSheets = [sheet];
        const language = (this.lang || lang).startsWith('en') ? 'en' : 'vi';
        const { format } = new Intl.NumberFormat(LABELS[language].locale, { maximumFractionDigits: 1 });
        const box = make('div', { lang: language });
        root.replaceChildren(box);
        this.end = build(box, this.getAttribute('site') || site, LABELS[language], format);
      } catch (error) { warn(error.message); }
    }

    disconnectedCallback() { this.end?.(); }
  });

  const counter = (box, id, labels, format) => {
    const texts = {}, rows = {};
    const list = make('dl', { class: 'waits' }, ...LINES.map((key) => {
      texts[key] = new Text('–');
      rows[key] = make('div', { class: key }, make('dt', {}, labels[key]), make('dd', {}, texts[key]));
      return rows[key];
    }));
    box.append(make('section', { 'aria-label': labels.title }, make('div', { class: 'title' }, labels.title), list));
    const show = (counts) => {
      const numbers = { ...counts?.online, ...counts?.visits, online: counts?.online.total };
      const { online, members, bots, guests } = numbers;
      put(rows.members, 'hidden', !members);
      put(rows.bots, 'hidden', !bots);
      put(rows.guests, 'hidden', !guests || guests === online);
      for (const key of LINES) if (counts) put(texts[key], 'data', format(numbers[key]));
      put(list, 'className', '');
    };
    const feed = once(feeds, id, () => feedOf(id));
    feed.add(show);
    return () => feed.remove(show);
  };

  const views = (box, id, labels, format) => {
    box.className = 'waits';
    itemOf(id).then((item) => {
      if (!item) return;
      box.append(`${format(item.views)} ${labels.views}`);
      box.className = '';
    });
  };

  const closing = new Set();
  const rating = (box, id, labels, format) => {
    const path = location.pathname;
    const average = new Text(), sentence = new Text(), hint = new Text(labels.rate);
    const inputs = labels.stars.map((_, i) => make('input', { type: 'radio', name: 'score', value: i + 1 }));
    const stars = inputs.map((input, i) => make('label', { title: labels.stars[i] }, input, make('i', {})));
    inputs.forEach((input, i) => input.setAttribute('aria-label', labels.stars[i]));
    const light = (score) => stars.forEach((star, i) => star.classList.toggle('lit', i < score));
    const group = make('fieldset', { role: 'radiogroup', 'aria-label': labels.rate }, ...stars);
    box.append(make('div', { class: 'bar' }, group, average),
      make('p', {}, sentence), make('p', { role: 'status' }, hint));

    let saved = me().votes[path] ?? 0, known = null, picked = 0, timer = 0;
    const paint = () => {
      const { points, votes } = known ?? {};
      put(average, 'data', `${labels.average}: ${votes ? format(points / votes) : '–'}`);
      const sum = known ? [format(points), format(votes)] : ['–', '–'];
      put(sentence, 'data', labels.rating.replace('%1', sum[0]).replace('%2', sum[1]));
      light(picked || saved || (votes ? Math.round(points / votes) : 0));
      inputs.forEach((input, i) => { input.checked = i + 1 === (picked || saved); });
    };
    const vote = async () => {
      if (!timer) return;
      clearTimeout(timer);
      timer = 0;
      const score = picked;
      // An earlier vote that is still kept must not arrive after this one.
      drop((kept) => kept.type === 'rating' && kept.site === id && kept.item === path);
      const event = { type: 'rating', site: id, id: uuid(), item: path, score, voter: visitor(), attempt: 0 };
      const outcome = await send(event);
      if (outcome === 'saved') {
        if (known) known = { points: known.points + score - saved, votes: known.votes + (saved ? 0 : 1) };
        saved = score;
      }
      const { votes, ...now } = me();
      if (outcome !== 'refused') write(ME, { ...now, votes: { ...votes, [path]: score } });
      if (outcome !== 'later' && picked === score) picked = 0;
      put(hint, 'data', labels[outcome]);
      paint();
    };
    box.addEventListener('change', ({ target }) => {
      picked = Number(target.value);
      put(hint, 'data', labels.stars[picked - 1]);
      paint();
      clearTimeout(timer);
      timer = setTimeout(vote, 700); // arrow keys pass over the stars between
    });
    closing.add(vote);
    if (saved) put(hint, 'data', labels.rated);
    paint();
    itemOf(id).then((item) => { known = item && { ...item.rating }; paint(); });
    return () => { vote(); closing.delete(vote); };
  };

  // Start

  const shown = document.prerendering
    ? new Promise((done) => { document.addEventListener('prerenderingchange', done, { once: true }); })
    : Promise.resolve();
  const counted = shown.then(count).catch((error) => warn(error.message));
  setInterval(ping, MINUTE);
  document.addEventListener('visibilitychange', () => {
    feeds.forEach((feed) => (document.hidden ? feed.stop() : feed.open()));
    ping();
  });
  addEventListener('online', sendAgain);
  addEventListener('pagehide', () => {
    closing.forEach((vote) => vote());
    navigator.sendBeacon?.(`${api}/v1/events`, JSON.stringify(seen('leave')));
  });
  define('truycap-counter', counter);
  define('truycap-views', views);
  define('truycap-rating', rating);
})();
