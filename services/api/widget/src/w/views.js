// <truycap-views>: asks again, first when this reader is among those who were counted.

export const css = CSS;

export default (root, url, get, still) => {
  const number = root.querySelector('data');
  const refresh = () => document.hidden || get().then((html) => (number.textContent = html.split(/[<>]/)[4]), () => {});
  setTimeout(refresh, 3e3);
  if (!still) setInterval(refresh, 3e4);
};
