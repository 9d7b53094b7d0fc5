// One way to make an element.

export function element(tag, className, text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text; // never innerHTML: names may come from a file
  return node;
}
