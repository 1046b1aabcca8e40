// Tables and code that are wider than their place scroll by themselves: the keyboard is to reach them.
const wide = () => {
  for (const one of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code")) {
    if (one.scrollWidth > one.clientWidth) one.tabIndex = 0
    else one.removeAttribute("tabindex")
  }
}
addEventListener("load", wide)
addEventListener("resize", wide)
document.querySelector(".md-search")?.setAttribute("aria-label", "Search")
