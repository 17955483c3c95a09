// xterm.js puts its rules into <style> elements, which our content security policy blocks, as it should. Style sheets that
// a script makes are allowed: in place of each such element it gets one that passes its text on to a style sheet.
const create = document.createElement.bind(document);

document.createElement = (name, options) => {
  if (name !== "style") return create(name, options);
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  const element = create("template");
  Object.defineProperty(element, "textContent", { set: (text) => sheet.replaceSync(text) });
  Object.defineProperty(element, "sheet", { get: () => sheet });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((each) => each !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
};
