export default"b{display:none}"
