// <truycap-counter>: the block's numbers as they change, while the page is visible: from one stream of events for all
// tabs of the browser (where it has locks and channels), from single requests where streams are cut off.

export const css = CSS;

export default (root, url, get, still) => {
  const list = root.lastChild;
  // Which line is shown is the rule of labels.py.
  const show = ({ online, visits }) => {
    for (const row of list.children) {
      const key = row.part;
      const number = { ...online, ...visits, online: online.total }[key];
      row.hidden = /s$/.test(key) && !(key == 'guests' ? number % online.total : number);
      row.lastChild.textContent = number.toLocaleString(list.lang);
    }
  };

  // Both are closed while the page is hidden: a message would put it out of the back/forward cache.
  let channel;
  let end;
  const tell = (counts) => {
    show(counts);
    channel?.postMessage(counts);
  };
  const lead = async () => {
    for (let pause = 1; !document.hidden; ) {
      await new Promise((done) => {
        const source = new EventSource(url + 'live');
        source.onerror = end = () => done(source.close());
        const timer = setTimeout(end, 1e4); // a proxy may let the stream open and nothing through
        source.addEventListener('counts', ({ data }) => {
          clearTimeout(timer);
          tell(JSON.parse(data));
          pause = 1;
        });
      });
      if (document.hidden) break;
      await new Promise((done) => setTimeout((end = done), 2e3 * pause * Math.random()));
      pause += pause % 64; // doubled up to 64
      try {
        tell(await (await fetch(url + 'counts')).json());
        pause = 8;
      } catch {}
    }
  };
  const begin = async () => {
    end?.();
    channel?.close();
    if (document.hidden) return;
    try {
      channel = new BroadcastChannel(url);
      channel.onmessage = ({ data }) => show(data);
      await navigator.locks.request(url, lead);
    } catch {
      lead(); // a page on plain http, in a sandbox, or where storage is blocked
    }
  };
  if (still) return;
  addEventListener('visibilitychange', begin);
  begin();
};
