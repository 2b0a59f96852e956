// <truycap-views>: asks again, first when this reader is among those who were counted.

export const css = CSS;

export default (root, url, address, still) => {
  const number = root.querySelector('data');
  const refresh = async () => {
    if (!document.hidden) number.textContent = (await (await fetch(address)).text()).split(/[<>]/)[4];
  };
  setTimeout(refresh, 2e3);
  if (!still) setInterval(refresh, 3e4);
};
