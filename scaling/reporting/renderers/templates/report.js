(function(){"use strict";
var doc=document,tip=doc.getElementById("tip"),data=JSON.parse(doc.getElementById("points").textContent);
function make(name,text,more){var e=doc.createElement(name);e.textContent=text||"";for(var k in more||{})e.setAttribute(k,more[k]);return e}
// Points of figures: one stop for the keyboard a figure, arrows move between its points.
function about(use){var key=use.closest("figure").dataset.key,at=data.figures[key];return data.tips[at[+use.dataset.i]]||["",""]}
function hide(){tip.style.display="none"}
function show(use){var r=use.getBoundingClientRect();tip.textContent=about(use)[0];tip.style.display="block";
tip.style.left=Math.max(4,Math.min(r.x+14,innerWidth-tip.offsetWidth-8))+"px";
tip.style.top=Math.max(4,r.y+14+tip.offsetHeight>innerHeight?r.y-tip.offsetHeight-6:r.y+14)+"px"}
function point(e){return e.target.closest?e.target.closest("use[data-i]"):null}
function stop(use,on){["tabindex","role","aria-label"].forEach(function(k){use.removeAttribute(k)});
if(on){use.setAttribute("tabindex","0");use.setAttribute("role","button");use.setAttribute("aria-label",about(use)[0].replace(/\n/g,", "))}}
function move(from,to){if(!to||to===from)return;stop(from,false);stop(to,true);to.focus();show(to)}
function leave(use){var row=doc.getElementById(about(use)[1]);if(!row)return;hide();
var table=row.closest("table");if(row.hidden&&table.reset)table.reset();
location.hash="";location.hash=row.id;row.setAttribute("tabindex","-1");row.focus()}
doc.querySelectorAll("figure[data-key]").forEach(function(figure){
var points=figure.querySelectorAll("use[data-i]"),svg=figure.querySelector("svg");if(!points.length)return;
svg.setAttribute("role","group");stop(points[0],true)});
doc.addEventListener("pointerover",function(e){var u=point(e);if(u)show(u);else hide()});
doc.addEventListener("focusin",function(e){var u=point(e);if(u)show(u);else hide()});
doc.addEventListener("scroll",hide,true);
doc.addEventListener("click",function(e){var u=point(e);if(u)leave(u)});
doc.addEventListener("keydown",function(e){if(e.key==="Escape")return hide();var u=point(e);if(!u)return;
var all=Array.prototype.slice.call(u.closest("svg").querySelectorAll("use[data-i]")),k=all.indexOf(u),
to={ArrowRight:k+1,ArrowDown:k+1,ArrowLeft:k-1,ArrowUp:k-1,Home:0,End:all.length-1}[e.key];
if(to!==undefined){e.preventDefault();move(u,all[Math.max(0,Math.min(all.length-1,to))])}
else if(e.key==="Enter"||e.key===" "){e.preventDefault();leave(u)}});
// Numbers as they are written in cells: 1.20×10¹⁰, −0.3%, 12,345.
var digits="⁰¹²³⁴⁵⁶⁷⁸⁹";
function number(text){var m=/^([−-]?[\d,.]+(?:e[+-]?\d+)?)(?:×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?%?×?$/i.exec(text.trim().replace(/ \(.*$/,"").replace(/^\+/,""));if(!m)return NaN;
var x=parseFloat(m[1].replace("−","-").replace(/,/g,"")),p=m[2]?+m[2].replace("⁻","-").replace(/[⁰-⁹¹²³]/g,function(c){return digits.indexOf(c)}):0;return x*Math.pow(10,p)}
function fits(cell,want){want=want.trim();if(!want)return true;var x=number(cell),m=/^(<=|>=|<|>|=)\s*(.+)$/.exec(want),r=/^(\S+)\.\.(\S+)$/.exec(want);
if(r&&!isNaN(number(r[1]))&&!isNaN(number(r[2])))return x>=number(r[1])&&x<=number(r[2]);
if(m&&!isNaN(number(m[2]))){var y=number(m[2]);return {"<":x<y,">":x>y,"<=":x<=y,">=":x>=y,"=":x===y}[m[1]]}
return cell.toLowerCase().indexOf(want.toLowerCase())>=0}
function csv(table){return Array.prototype.map.call(table.rows,function(row){return row.className==="filters"?null:Array.prototype.map.call(row.cells,function(c){var t=(c.dataset.name||c.textContent).trim();return /[",\n]/.test(t)?'"'+t.replace(/"/g,'""')+'"':t}).join(",")}).filter(function(l){return l!==null}).join("\n")+"\n"}
function save(name,type,text){var a=make("a","",{download:name,href:URL.createObjectURL(new Blob([text],{type:type}))});a.click();setTimeout(function(){URL.revokeObjectURL(a.href)},1000)}
doc.querySelectorAll("table[data-sorts]").forEach(function(table){
var body=table.tBodies[0],rows=Array.prototype.slice.call(body.rows),heads=table.tHead.rows[0].cells,inputs=[],box=table.closest(".scroll"),
tools=make("div","",{"class":"tools"}),count=make("span","",{role:"status"}),clear=make("button","show all",{type:"button"}),get=make("button","CSV",{type:"button"});
var filters=make("tr","",{"class":"filters"});
function filter(){var n=0;rows.forEach(function(row){row.hidden=!inputs.every(function(f,j){return fits(row.cells[j].textContent,f.value)});if(!row.hidden)n++});
count.textContent=n+" of "+rows.length+" rows"}
table.reset=function(){inputs.forEach(function(f){f.value=""});filter()};
Array.prototype.forEach.call(heads,function(head,j){
var name=head.textContent.trim(),button=make("button",name,{type:"button"}),field=make("input","",{type:"text","aria-label":"filter "+name,placeholder:"filter",title:"text, >1e9, <2 or 1..3"}),cell=make("th","",{scope:"col"});
head.dataset.name=name;head.textContent="";head.appendChild(button);
button.addEventListener("click",function(){var up=head.getAttribute("aria-sort")!=="ascending";
Array.prototype.forEach.call(heads,function(h){h.removeAttribute("aria-sort")});head.setAttribute("aria-sort",up?"ascending":"descending");
rows.map(function(row,k){var t=row.cells[j].textContent.trim(),x=number(t);return {row:row,k:k,t:t,x:x,none:t===""||t==="—"}}).sort(function(a,b){
if(a.none!==b.none)return a.none?1:-1;var d=isNaN(a.x)||isNaN(b.x)?(a.t<b.t?-1:a.t>b.t?1:0):a.x-b.x;return (up?d:-d)||a.k-b.k}).forEach(function(o){body.appendChild(o.row)})});
field.addEventListener("input",filter);inputs.push(field);cell.appendChild(field);filters.appendChild(cell)});
table.tHead.appendChild(filters);
clear.addEventListener("click",table.reset);
get.addEventListener("click",function(){save((table.caption.textContent.trim().replace(/[^A-Za-z0-9]+/g,"-").slice(0,40)||"table")+".csv","text/csv",csv(table))});
tools.appendChild(count);tools.appendChild(clear);tools.appendChild(get);box.parentNode.insertBefore(tools,box);filter()});
doc.querySelectorAll("figure[data-key]").forEach(function(figure){var links=figure.querySelector(".links"),b=make("a","SVG",{href:"#"});
b.addEventListener("click",function(e){e.preventDefault();save(figure.dataset.key+".svg","image/svg+xml",new XMLSerializer().serializeToString(figure.querySelector("svg")))});
links.appendChild(doc.createTextNode(" · "));links.appendChild(b)});
// Light or dark: as the system says, until somebody chooses; nothing is stored.
var theme=make("button","",{type:"button","class":"theme"}),order=["light dark","light","dark"],names=["auto","light","dark"],now=0;
function paint(){doc.documentElement.style.colorScheme=order[now];theme.textContent="colours: "+names[now]}
theme.addEventListener("click",function(){now=(now+1)%3;paint()});paint();
var header=doc.querySelector("header");header.insertBefore(theme,header.firstChild);
})();
