// <truycap-rating>: a reader's vote, which can be changed.

export const css = CSS;

export default (root, url, get, still, rate) => {
  const stars = root.firstChild;
  const numbers = stars.lastChild;
  const key = url + stars.name;
  let store = {};
  try {
    store = localStorage;
  } catch {}
  const [rated, unsaved] = numbers.previousSibling.children;
  const say = (ok) => (rated.hidden = !(unsaved.hidden = ok));
  stars.onchange = async ({ target: { value } }) => {
    const { ok, status } = await rate(+value, { item: stars.name });
    if (status < 429 && !ok) return; // refused
    try {
      store[key] = value;
    } catch {} // full
    say(ok);
    setTimeout(() => get().then((html) => (numbers.innerHTML = html.split(/<.?div>/)[1]), () => {}), 2e3);
  };
  if (store[key]) {
    stars.elements[store[key] - 1].checked = 1;
    say(1);
  }
  document.head.append(...root.querySelectorAll('script'));
};
