(function(){"use strict";
var doc=document,tip=doc.getElementById("tip"),data=JSON.parse(doc.getElementById("points").textContent);
function make(name,text,more){var e=doc.createElement(name);e.textContent=text||"";for(var k in more||{})e.setAttribute(k,more[k]);return e}
function each(from,what,does){Array.prototype.forEach.call(from.querySelectorAll(what),does)}
// Points of figures: one stop for the keyboard a figure, arrows move between its points.
var POINT="use[data-i]",shown=null;
function figureOf(use){return use.closest("figure")}
function about(use){return data.tips[data.figures[figureOf(use).id.slice(7)][+use.dataset.i]]||["",""]}
function point(e){return e.target.closest?e.target.closest(POINT):null}
function focused(){var e=doc.activeElement;return e&&e.matches&&e.matches(POINT)?e:null}
function hide(){shown=null;tip.style.display="none"}
function show(use){shown=use;tip.textContent=about(use)[0];tip.style.display="block";place()}
function place(){var r=shown.getBoundingClientRect(),y=r.y+14+tip.offsetHeight>innerHeight?r.y-tip.offsetHeight-6:r.y+14;
tip.style.left=Math.max(4,Math.min(r.x+14,innerWidth-tip.offsetWidth-8))+"px";
tip.style.top=Math.max(4,Math.min(y,innerHeight-tip.offsetHeight-4))+"px"}
function stop(use,on){["tabindex","role","aria-label"].forEach(function(k){use.removeAttribute(k)});
if(on){use.setAttribute("tabindex","0");use.setAttribute("role","button");use.setAttribute("aria-label",about(use)[0].replace(/\n/g,", "))}}
function choose(use){each(figureOf(use),POINT+"[tabindex='0']",function(old){stop(old,false)});stop(use,true)}
// From a point to its row and back: the row in the address has a link to the figure.
var origin=null,back=make("a","",{"class":"back","aria-label":"back to the figure"});
function source(id){var found=null;each(doc,POINT,function(use){if(!found&&about(use)[1]===id)found=use});return found}
function arrive(){var row=doc.getElementById(decodeURIComponent(location.hash.slice(1))),table=row&&row.matches("tr[id]")?row.closest("table"):null;
back.remove();if(!table)return;
if(!origin||about(origin)[1]!==row.id)origin=source(row.id);
if(row.hidden&&table.reset)table.reset();
if(origin){back.href="#"+figureOf(origin).id;row.cells[0].appendChild(back)}
row.scrollIntoView({block:"nearest"});row.setAttribute("tabindex","-1");row.focus({preventScroll:true})}
back.addEventListener("click",function(){var use=origin;setTimeout(function(){choose(use);use.focus()})});
function leave(use){var id=about(use)[1];if(!doc.getElementById(id))return;hide();choose(use);origin=use;
if(location.hash==="#"+id)arrive();else location.hash=id}
addEventListener("hashchange",arrive);
each(doc,"figure[data-points]",function(figure){var first=figure.querySelector(POINT);if(!first)return;
figure.querySelector("svg").setAttribute("role","group");stop(first,true)});
// What has the focus keeps its tip while the page moves, until Escape.
var quiet=false;
doc.addEventListener("pointerover",function(e){var u=point(e)||(quiet?null:focused());if(u)show(u);else hide()});
doc.addEventListener("focusin",function(e){quiet=false;var u=point(e);if(u)show(u);else hide()});
doc.addEventListener("focusout",hide);
doc.addEventListener("scroll",function(){if(shown&&shown===focused())place();else hide()},true);
doc.addEventListener("click",function(e){var u=point(e);if(u)leave(u)});
doc.addEventListener("keydown",function(e){if(e.key==="Escape"){quiet=true;return hide()}
var u=point(e);if(!u||e.altKey||e.ctrlKey||e.metaKey)return;
var all=Array.prototype.slice.call(u.closest("svg").querySelectorAll(POINT)),k=all.indexOf(u),
to={ArrowRight:k+1,ArrowDown:k+1,ArrowLeft:k-1,ArrowUp:k-1,Home:0,End:all.length-1}[e.key];
if(to!==undefined){e.preventDefault();to=all[Math.max(0,Math.min(all.length-1,to))];choose(to);to.focus()}
else if(e.key==="Enter"||e.key===" "){e.preventDefault();leave(u)}});
// Numbers as they are written in cells: 1.20×10¹⁰, −0.3%, 12,345.
var digits="⁰¹²³⁴⁵⁶⁷⁸⁹";
function number(text){var m=/^([−-]?[\d,.]+(?:e[+-]?\d+)?)(?:×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?%?×?$/i.exec(text.trim().replace(/ \(.*$/,"").replace(/^\+/,""));if(!m)return NaN;
var x=parseFloat(m[1].replace("−","-").replace(/,/g,"")),p=m[2]?+m[2].replace("⁻","-").replace(/[⁰¹²³⁴⁵⁶⁷⁸⁹]/g,function(c){return digits.indexOf(c)}):0;return x*Math.pow(10,p)}
// A filter: a text, or >1, <2, 1..3 in a column of numbers, where half of one keeps every row.
function fits(cell,want,numeric){want=want.trim();if(!want)return true;
var x=number(cell),m=/^(<=?|>=?|=)\s*(.*)$/.exec(want),r=/^(.*?)\s*\.\.\s*(.*)$/.exec(want),y;
if(m){y=number(m[2]);if(isNaN(y))return numeric||has(cell,want);return {"<":x<y,">":x>y,"<=":x<=y,">=":x>=y,"=":x===y}[m[1]]}
if(r&&numeric){var low=number(r[1]),high=number(r[2]);return !(x<low||x>high)&&(!isNaN(x)||isNaN(low)&&isNaN(high))}
return has(cell,want)||x===number(want)}
function has(cell,want){return cell.toLowerCase().indexOf(want.toLowerCase())>=0}
function quoted(t){if(/^[=+\-@\t\r]/.test(t)&&isNaN(number(t)))t="'"+t;return /[",\r\n]/.test(t)?'"'+t.replace(/"/g,'""')+'"':t}
function csv(rows){return rows.map(function(row){return Array.prototype.map.call(row.cells,function(c){return quoted((c.dataset.name||c.textContent).trim())}).join(",")}).join("\n")+"\n"}
function save(name,type,text){var a=make("a","",{download:name,href:URL.createObjectURL(new Blob([text],{type:type}))});a.click();setTimeout(function(){URL.revokeObjectURL(a.href)},1000)}
each(doc,"table[data-sorts]",function(table){
var body=table.tBodies[0],rows=Array.prototype.slice.call(body.rows),heads=table.tHead.rows[0].cells,inputs=[],box=table.closest(".scroll"),name=table.caption.textContent.trim(),
tools=make("div","",{"class":"tools"}),count=make("span","",{role:"status"}),clear=make("button","show all",{type:"button"}),get=make("button","CSV",{type:"button"}),filters=make("tr","",{"class":"filters"});
function filter(){var n=0;rows.forEach(function(row){row.hidden=!inputs.every(function(f,j){return fits(row.cells[j].textContent,f.value,f.numeric)});if(!row.hidden)n++});
count.textContent=n+" of "+rows.length+" rows"}
table.reset=function(){inputs.forEach(function(f){f.value=""});filter()};
Array.prototype.forEach.call(heads,function(head,j){
var name=head.textContent.trim(),button=make("button",name,{type:"button"}),field=make("input","",{type:"text",size:1,"aria-label":"filter "+name,placeholder:"filter"}),cell=make("td");
field.numeric=rows.some(function(row){return !isNaN(number(row.cells[j].textContent))});
field.title=field.numeric?"a number, >1e9, <2 or 1..3":"a part of the text";
head.dataset.name=name;head.textContent="";head.appendChild(button);
button.addEventListener("click",function(){var up=head.getAttribute("aria-sort")!=="ascending";
Array.prototype.forEach.call(heads,function(h){h.removeAttribute("aria-sort")});head.setAttribute("aria-sort",up?"ascending":"descending");
rows.map(function(row,k){var t=row.cells[j].textContent.trim();return {row:row,k:k,t:t,x:number(t),none:t===""||t==="—"}}).sort(function(a,b){
if(a.none!==b.none)return a.none?1:-1;var d=isNaN(a.x)||isNaN(b.x)?(a.t<b.t?-1:a.t>b.t?1:0):a.x-b.x;return (up?d:-d)||a.k-b.k}).forEach(function(o){body.appendChild(o.row)})});
field.addEventListener("input",filter);inputs.push(field);cell.appendChild(field);filters.appendChild(cell)});
table.tHead.appendChild(filters);
clear.addEventListener("click",table.reset);
get.addEventListener("click",function(){save((name.replace(/[^A-Za-z0-9]+/g,"-").slice(0,40)||"table")+".csv","text/csv",csv([table.tHead.rows[0]].concat(Array.prototype.slice.call(body.rows))))});
[count,clear,get].forEach(function(e){tools.appendChild(e)});box.parentNode.insertBefore(tools,box);filter()});
each(doc,"figure",function(figure){var links=figure.querySelector(".links"),b=make("button","SVG",{type:"button"}),svg=figure.querySelector("svg");if(!links||!svg)return;
b.addEventListener("click",function(){save(figure.id+".svg","image/svg+xml",new XMLSerializer().serializeToString(svg))});
links.appendChild(doc.createTextNode(" · "));links.appendChild(b)});
// Light or dark: as the system says, until somebody chooses; nothing is stored.
var theme=make("button","",{type:"button","class":"theme"}),order=["light dark","light","dark"],names=["auto","light","dark"],now=0;
function paint(){doc.documentElement.style.colorScheme=order[now];theme.textContent="colours: "+names[now]}
theme.addEventListener("click",function(){now=(now+1)%3;paint()});paint();
doc.body.insertBefore(theme,doc.querySelector("header,main"));
addEventListener("beforeprint",function(){each(doc,"details",function(d){d.open=true})});
arrive();
})();
