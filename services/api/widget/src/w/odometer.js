export default CSS;

/** Before each number its digits, of which those that change roll to what they are now. */
export const roll = (root) =>
  root.querySelectorAll('dd, data').forEach((box) => {
    const reel = document.createElement('i');
    let before = '';
    const paint = () => {
      const text = box.textContent;
      reel.innerHTML = text.replace(/./g, (digit, at) => `<a${digit == before[at] ? '' : ' class=new'}>${digit}</a>`);
      before = text;
    };
    reel.ariaHidden = true;
    box.before(reel);
    new MutationObserver(paint).observe(box, { childList: true });
    paint();
  });
