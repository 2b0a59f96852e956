export const css="";export default(t,e,n,o)=>{const s=t.querySelector("data"),c=()=>document.hidden||n().then(t=>s.textContent=t.split(/[<>]/)[4],()=>{});setTimeout(c,3e3),o||setInterval(c,3e4)};
