// <truycap-rating>: a reader's vote, which can be changed.

export const css = CSS;

export default (root, url, get) => {
  const stars = root.firstChild;
  const numbers = stars.lastChild;
  const key = url + stars.name;
  let store = {};
  try {
    store = localStorage;
  } catch {}
  const [rated, unsaved] = numbers.previousSibling.children;
  const say = (ok) => {
    rated.hidden = !ok;
    unsaved.hidden = ok;
  };
  const refresh = (html) => (numbers.innerHTML = html.split(/<.?div>/)[1]);
  stars.onchange = async ({ target: { value } }) => {
    const answer = await truycap.rate(+value, { item: stars.name });
    try {
      store[key] = value;
    } catch {} // full
    say(answer.ok);
    setTimeout(() => get().then(refresh, () => {}), 1e3);
  };
  if (store[key]) {
    stars.elements[store[key] - 1].checked = true;
    say(1);
  }
  document.head.append(...root.querySelectorAll('script'));
};
