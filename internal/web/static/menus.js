// closeMenus closes a menu on Escape, on a click elsewhere, and when the focus leaves it.
// The browser opens it: a menu is a <details>.
export function closeMenus () {
  const menus = [...document.querySelectorAll('details.app-menu')]
  for (const menu of menus) {
    menu.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !menu.open) return
      menu.open = false
      menu.querySelector('summary').focus()
    })
    menu.addEventListener('focusout', (event) => {
      if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false
    })
  }
  document.addEventListener('click', (event) => {
    for (const menu of menus) if (!menu.contains(event.target)) menu.open = false
  })
}
