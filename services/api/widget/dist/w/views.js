export const css="";export default(t,e,n,o)=>{const s=t.querySelector("data"),c=t=>s.textContent=t.split(/[<>]/)[4],d=()=>document.hidden||n().then(c,()=>{});setTimeout(d,3e3),o||setInterval(d,3e4)};
