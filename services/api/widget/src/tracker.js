// Counts the page once each time it is shown, and says so while it stays visible.
//
//   <script async src="https://counter.example/t.js" data-site="caobang"></script>
//
// data-member="true": the reader is logged in. For applications: truycap.pageview() counts the address shown now;
// truycap.rate(score, item) votes.
//
// Every page loads every byte of this file, so some lines are shorter than they would be elsewhere.

export const page = document;
export const script = page.currentScript;
export const { site, member } = script.dataset;
/** Where the script came from. */
export const base = new URL('.', script.src);
const key = 'truycap-' + site + '.';
const now = Date.now;
// Less than a day ago.
const fresh = (time) => now() - time < 864e5;
// Not randomUUID, which pages on plain http do not have.
const uuid = () => URL.createObjectURL(new Blob()).slice(-36);

// Under DNT and GPC, and where nothing can be kept, the server tells readers apart by a hash of the day.
let anonymous = navigator.globalPrivacyControl || navigator.doNotTrack == 1;
let store = {};
let tab = {};
try {
  localStorage[0]; // null in some apps' browsers
  tab = sessionStorage;
  store = localStorage;
} catch {
  anonymous = 1;
}
const keep = (name, value, where = store) => {
  try {
    where[name] = value;
  } catch {} // full
};

const post = (event) =>
  fetch(base + 'v1/events', {
    method: 'POST',
    body: JSON.stringify(event),
    keepalive: true,
  }).catch(() => 0);

// What was not acknowledged waits: at most 50 events, at most a day old, each with the `due` time before which an
// attempt whose end was not seen may be under way: an event that overtook its own first sending would be counted twice.
const waiting = (which) => JSON.parse(store[key + 1] || '[]').filter((event) => fresh(event.born) && which(event));
const wait = (events) => keep(key + 1, JSON.stringify(events.slice(-50)));

/**
 * Send until it is acknowledged or refused; resolves to the response, 0 where there was none. A newer vote on an item
 * takes the place of an older one.
 */
const send = async (event) => {
  event.id ||= uuid();
  const sent = post(event);
  const others = waiting((kept) => kept.id != event.id && (!event.item || kept.item != event.item));
  wait([...others, { born: now(), ...event, attempt: -~event.attempt, due: now() + 36e5 }]);
  const answer = await sent;
  const done = answer.status < 429;
  wait(waiting((kept) => kept.id != event.id || (kept.due = !done)));
  if (done) {
    if (!answer.ok) console.warn(await answer.text());
    resend();
  }
  return answer;
};
const resend = () => waiting((kept) => kept.due < now()).some(send);

let shown;
const visitor = () => {
  if (anonymous) return '';
  if (!fresh(store[key + 2])) {
    keep(key + 2, now());
    keep(key, uuid());
  }
  return store[key];
};
const seen = (type, more) => ({ site, member, type, url: location.href.split('#')[0], visitor: visitor(), ...more });

/** Vote 1 to 5 on an item, the path of an article. */
export const rate = (score, more) =>
  send(seen('rating', { score, item: location.pathname, ...more }));
const pageview = () => {
  const event = seen('pageview', { referrer: shown || page.referrer, title: page.title });
  if (page.hidden) return (shown = 0); // prerendered, or a tab in the background
  shown = event.url;
  return now() - tab[key + shown] < 1e3 /* reloaded */ || (keep(key + shown, now(), tab), send(event));
};
const tick = () => {
  const event = seen('ping');
  if (!shown) pageview();
  else if (!page.hidden) post(event, (shown = event.url)).then(resend);
};
// An application sets the title after the address.
const moved = () => setTimeout((before) => seen().url == before || pageview(), 99, shown);

const push = history.pushState;
history.pushState = function (...change) {
  push.apply(this, change);
  moved();
};
addEventListener('popstate', moved);
addEventListener('visibilitychange', tick);
addEventListener('pagehide', () => (shown &&= !post(seen('leave'))));
addEventListener('online', tick);
setInterval(tick, 6e4);
self.truycap = { pageview, rate };
pageview();
