. "$CASES/cc.sh"
mkdir app
echo "int x;" | gcc -x c - -c -o app/m
