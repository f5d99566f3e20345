/** An element with properties, attributes (`attributes`) and children. */
export function element(tag, properties = {}, ...children) {
  const { attributes = {}, ...plain } = properties
  const made = Object.assign(document.createElement(tag), plain)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.append(...children)
  return made
}

/** The stylesheet, once per page. */
export function loadStyle() {
  const href = new URL('../../css/panel.css', import.meta.url).href
  if (document.querySelector(`link[href="${href}"]`)) return
  document.head.append(element('link', { rel: 'stylesheet', href }))
}
