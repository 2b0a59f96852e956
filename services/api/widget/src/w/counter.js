// <truycap-counter>: the block's numbers as they change, while the page is visible: from one stream of events for all
// tabs of the browser (where it has locks and channels), from single requests where streams are cut off.

export const css = CSS;

export default (root, url, address, still) => {
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
  const channel = new BroadcastChannel(url);
  channel.onmessage = ({ data }) => show(data);
  const tell = (counts) => {
    show(counts);
    channel.postMessage(counts);
  };

  const lead = async () => {
    for (let pause = 1; !document.hidden; ) {
      await new Promise((done) => {
        const source = new EventSource(url + 'live');
        const end = (source.onerror = () => done(source.close()));
        const timer = setTimeout(end, 1e4); // a proxy may let the stream open and nothing through
        addEventListener('visibilitychange', end);
        source.addEventListener('counts', ({ data }) => {
          clearTimeout(timer);
          tell(JSON.parse(data));
          pause = 1;
        });
      });
      if (document.hidden) break;
      await new Promise((done) => setTimeout(done, 2e3 * pause * Math.random()));
      pause += pause % 64; // doubled up to 64
      try {
        tell(await (await fetch(url + 'counts')).json());
        pause = 8;
      } catch {}
    }
  };
  const begin = async () => {
    try {
      document.hidden || (await navigator.locks.request(url, lead));
    } catch {
      lead(); // a page on plain http, or in a sandbox
    }
  };
  if (still) return;
  addEventListener('visibilitychange', begin);
  begin();
};
